/* Generators of the POW2 kernels, declared for the tests. */
#ifndef STUB_CNN_GENERATORS_H
#define STUB_CNN_GENERATORS_H
#include "AutoTilerLib.h"

void LoadCNNLibrary(void);

int CNN_ConvolutionPoolReLU(
    char *Name, CNN_GenControl_T *Ctrl, int InSize, int FilterSize, int BiasSize, int OutSize,
    int InQ, int FilterQ, int BiasQ, int OutQ, int InL3, int FilterL3, int BiasL3, int OutL3,
    int InFeat, int OutFeat, int Width, int Height, KernelOper_T Conv, int Fcx, int Fcy, int Dcx,
    int Dcy, int Scx, int Scy, int ConvPad, KernelOper_T Pool, int Fpx, int Fpy, int Dpx, int Dpy,
    int Spx, int Spy, int PoolPad, KernelOper_T Act);
int CNN_GroupedConvolutionPoolReLU(
    char *Name, CNN_GenControl_T *Ctrl, int GroupIn, int GroupOut, int InSize, int FilterSize,
    int BiasSize, int OutSize, int InQ, int FilterQ, int BiasQ, int OutQ, int InL3, int FilterL3,
    int BiasL3, int OutL3, int InFeat, int OutFeat, int Width, int Height, KernelOper_T Conv,
    int Fcx, int Fcy, int Dcx, int Dcy, int Scx, int Scy, int ConvPad, KernelOper_T Pool, int Fpx,
    int Fpy, int Dpx, int Dpy, int Spx, int Spy, int PoolPad, KernelOper_T Act);
int CNN_PoolReLU(
    char *Name, CNN_GenControl_T *Ctrl, int InSize, int OutSize, int InQ, int OutQ, int InL3,
    int OutL3, int InFeat, int OutFeat, int Width, int Height, KernelOper_T Pool, int Fpx, int Fpy,
    int Dpx, int Dpy, int Spx, int Spy, int PoolPad, KernelOper_T Act);
int CNN_GlobalPool(
    char *Name, CNN_GenControl_T *Ctrl, int InSize, int OutSize, int InQ, int OutQ, int InL3,
    int OutL3, int InFeat, int OutFeat, int Width, int Height, KernelOper_T Pool);
int CNN_LinearReLU(
    char *Name, CNN_GenControl_T *Ctrl, int InSize, int FilterSize, int BiasSize, int OutSize,
    int InQ, int FilterQ, int BiasQ, int OutQ, int InL3, int FilterL3, int BiasL3, int OutL3,
    int InDim, int OutDim, KernelOper_T Linear, KernelOper_T Act);
int CNN_SoftMax(
    char *Name, CNN_GenControl_T *Ctrl, int InSize, int OutSize, int InQ, int OutQ, int InL3,
    int OutL3, int Dim, KernelOper_T SoftMax);
int CNN_MatAdd(
    char *Name, CNN_GenControl_T *Ctrl, int In1Size, int In2Size, int OutSize, int In1Q, int In2Q,
    int OutQ, int In1L3, int In2L3, int OutL3, int InFeat, int OutFeat, int Width, int Height,
    KernelOper_T Add);
int CNN_MatAddDynAdjust(
    char *Name, CNN_GenControl_T *Ctrl, int In1Size, int In2Size, int OutSize, int In1Q, int In2Q,
    int OutQ, int In1L3, int In2L3, int OutL3, int InFeat, int OutFeat, int Width, int Height,
    KernelOper_T Add);
int CNN_MatMul(
    char *Name, CNN_GenControl_T *Ctrl, int In1Size, int In2Size, int BiasSize, int OutSize,
    int In1Q, int In2Q, int BiasQ, int OutQ, int In1L3, int In2L3, int BiasL3, int OutL3,
    int ColM1, int LineM1, int ColM2, int LineM2, int Width, int Height, int Scx, int Scy,
    int Lower, int Upper, KernelOper_T MatMul, KernelOper_T Act);

#endif
