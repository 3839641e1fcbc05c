/* Generator of the resize kernels, declared for the tests. */
#ifndef STUB_RESIZEGENERATOR_H
#define STUB_RESIZEGENERATOR_H
#include "AutoTilerLib.h"

typedef enum { UNSIGNED_INOUT, SIGNED_INOUT } resize_kop_t;

void LoadResizeLibrary(void);
int GenerateResizeMultiChannel(
    char *Name, int Win, int Hin, int Wout, int Hout, int Channels, resize_kop_t Type,
    KernelOper_T Op);
int GenerateResizeMultiChannelQ16(
    char *Name, int Win, int Hin, int Wout, int Hout, int Channels, resize_kop_t Type,
    KernelOper_T Op);

#endif
