/* Generators of the SQ8 kernels, declared for the tests. */
#ifndef STUB_CNN_GENERATORS_SQ8_H
#define STUB_CNN_GENERATORS_SQ8_H
#include "AutoTilerLib.h"

void LoadCNN_SQ8_Library(void);

int CNN_ConvolutionPoolAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int BiasSize, int ScaleSize, int InFeat, int OutFeat,
    int Width, int Height, KernelOper_T Conv, int Fcx, int Fcy, int Dcx, int Dcy, int Scx, int Scy,
    int ConvPad, KernelOper_T Pool, int Fpx, int Fpy, int Dpx, int Dpy, int Spx, int Spy,
    int PoolPad, KernelOper_T Act);
int CNN_GroupedConvolutionPoolAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int GroupIn, int GroupOut, int BiasSize, int ScaleSize,
    int InFeat, int OutFeat, int Width, int Height, KernelOper_T Conv, int Fcx, int Fcy, int Dcx,
    int Dcy, int Scx, int Scy, int ConvPad, KernelOper_T Pool, int Fpx, int Fpy, int Dpx, int Dpy,
    int Spx, int Spy, int PoolPad, KernelOper_T Act);
int CNN_PoolAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int Feat, int Width, int Height, KernelOper_T Pool, int Fpx,
    int Fpy, int Dpx, int Dpy, int Spx, int Spy, int PoolPad, KernelOper_T Act);
int CNN_GlobalPoolAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int Feat, int Width, int Height, KernelOper_T Pool,
    KernelOper_T Act);
int CNN_LinearAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int BiasSize, int ScaleSize, int InDim, int OutDim,
    KernelOper_T Linear, KernelOper_T Act);
int CNN_SoftMax_SQ8(char *Name, CNN_GenControl_T *Ctrl, int Dim, KernelOper_T SoftMax);
int CNN_SoftMax2D_SQ8(char *Name, CNN_GenControl_T *Ctrl, int Feat, int Dim, KernelOper_T SoftMax);
int CNN_MatAddAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int Feat, int Width, int Height, KernelOper_T Add,
    KernelOper_T Act);
int CNN_MatAddPaddedAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int Feat, int Width, int Height, int PadTop, int PadBot,
    int PaddedIndex, KernelOper_T Add, KernelOper_T Act);
int CNN_BatchedMatMulAct_SQ8(
    char *Name, CNN_GenControl_T *Ctrl, int BiasSize, int ScaleSize, int Batches, int ColM1,
    int LineM1, int ColM2, int LineM2, int Width, int Height, int Scx, int Scy, KernelOper_T MatMul,
    KernelOper_T Act);

#endif
