/* Generators of kernels that move and convert bytes, declared for the tests. */
#ifndef STUB_CNN_COPY_GENERATORS_H
#define STUB_CNN_COPY_GENERATORS_H
#include "AutoTilerLib.h"

void LoadCNN_Copy_Library(void);

int CNN_MatTranspose(
    char *Name, CNN_GenControl_T *Ctrl, int Size, int Feat, int Width, int Height, KernelOper_T Op);
int CNN_3DTensorPermute(
    char *Name, CNN_GenControl_T *Ctrl, int Size, int Feat, int Width, int Height, KernelOper_T Op);
int CNN_Copy(char *Name, CNN_GenControl_T *Ctrl, int Items, int ItemSize);
int CNN_Norm(char *Name, int Width, int Height, int DoOffset, KernelOper_T Op);
int CNN_Convert(char *Name, int InSize, int OutSize, int Items, KernelOper_T Op);
int CNN_ConcatLastAxis_Generator(
    char *Name, CNN_GenControl_T *Ctrl, int Size, int Height, int W1, int W2, int W3, int W4,
    KernelOper_T Op);
int CNN_SplitLastAxis_Generator(
    char *Name, CNN_GenControl_T *Ctrl, int Size, int Height, int W1, int W2, int W3, int W4,
    KernelOper_T Op);

#endif
