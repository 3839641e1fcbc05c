#ifndef RNN_GENERATORS_SQ8_H
#define RNN_GENERATORS_SQ8_H

#include "CNN_Generators_SQ8.h"

#define AT_NO_ARG_BINDING ((ArgBindingDescr_T *) 0)

void Load_RNN_SQ8_Library(void);
int RNN_Stack_SQ8(char *Name, CNN_GenControl_T *Ctrl, int BiasDataSize, int SclDataSize, int NCells,
                  int K0, int K1, int DimState, int DimIn, int AlwaysReset, int Revert);
int GRU_Stack_SQ8(char *Name, CNN_GenControl_T *Ctrl, int BiasDataSize, int SclDataSize, int NCells,
                  int K0, int K1, int DimState, int DimIn, int AlwaysReset, int Revert);
int LSTM_Stack_SQ8(char *Name, CNN_GenControl_T *Ctrl, int BiasDataSize, int SclDataSize, int NCells,
                   int K0, int K1, int DimState, int DimIn, int AlwaysReset, int Revert);

#endif
