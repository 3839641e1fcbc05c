/* Declarations of what a generated model calls, so that a compiler can check its syntax, the number
 * and type of arguments, and the names of constants. Written for the tests; nothing can be linked. */
#ifndef STUB_AUTOTILERLIB_H
#define STUB_AUTOTILERLIB_H

#define AT_OPT_ON ((void *) 1)
#define AT_OPT_OFF ((void *) 0)
#define AT_OPT_VAL(Value) ((void *) (long) (Value))

typedef enum {
    AT_MEM_UNDEF, AT_MEM_L1, AT_MEM_L2,
    AT_MEM_L3_HRAM, AT_MEM_L3_QSPIRAM, AT_MEM_L3_OSPIRAM, AT_MEM_L3_DEFAULTRAM,
    AT_MEM_L3_HFLASH, AT_MEM_L3_QSPIFLASH, AT_MEM_L3_OSPIFLASH, AT_MEM_L3_MRAMFLASH,
    AT_MEM_L3_DEFAULTFLASH
} AT_MemLocation_T;

typedef enum {
    AT_KERNEL_BUFFER_PROMOTE, AT_KERNEL_PARTIAL_BUFFER_PROMOTE, AT_KERNEL_NOSOLUTION_ERROR,
    AT_GRAPH_MONITOR_CYCLES, AT_GRAPH_MONITOR_CVAR_NAME, AT_GRAPH_PRODUCE_NODE_NAMES,
    AT_GRAPH_PRODUCE_NODE_CVAR_NAME, AT_GRAPH_PRODUCE_OPERINFOS,
    AT_GRAPH_PRODUCE_OPERINFOS_CVAR_NAME, AT_GRAPH_REORDER_CONSTANT_IN, AT_GRAPH_TRACE_EXEC,
    AT_GRAPH_NOINLINE_NODE, AT_GRAPH_PREF_L3_EXEC, AT_GRAPH_CONST_EXEC_FROM_FLASH,
    AT_GRAPH_PREF_L3_HOME, AT_GRAPH_DUMP_TENSOR, AT_GRAPH_CHECKSUM, AT_GRAPH_DUMP_ONE_NODE,
    AT_GRAPH_ARG2STRUCT, AT_GRAPH_SIZE_OPT, AT_GRAPH_WARM_CONSTRUCT, AT_GRAPH_GROUP_WEIGHTS,
    AT_GRAPH_ASYNC_FORK, AT_GRAPH_DUMP_GRAPH_OUTPUTS
} AT_GraphCtrl_T;

typedef enum {
    KOP_NONE, KOP_CONV, KOP_CONV_DW, KOP_LINEAR, KOP_MAXPOOL, KOP_AVGPOOL,
    KOP_GLOBAL_MAXPOOL, KOP_GLOBAL_AVGPOOL, KOP_GLOBAL_SUMPOOL,
    KOP_MATADD, KOP_MATMUL, KOP_MATMUL_TRANSPOSED, KOP_MATMUL_NOBIAS,
    KOP_MATMUL_NOBIAS_TRANSPOSED, KOP_CONV_DP, KOP_CONV_DWDP, KOP_MATADD_DYNADJUST,
    KOP_MATMUL_SCALE_SCALAR, KOP_MATMUL_SCALE_SCALAR_TRANSPOSED,
    KOP_RELU, KOP_RELUM, KOP_RELUN, KOP_RELUMN, KOP_HSIGMOID, KOP_HSWISH, KOP_HTANH,
    KOP_LEAKYRELU, KOP_SIGMOID, KOP_TANH, KOP_CUSTOM, KOP_SOFTMAX,
    KOP_MATTRANSP, KOP_MATPERM_CHW2CWH, KOP_MATPERM_CHW2HWC, KOP_MATPERM_CHW2WHC,
    KOP_MATPERM_CHW2WCH, KOP_MATPERM_CHW2HCW,
    KOP_NORM_BW, KOP_NORM_BW16, KOP_NORM_RGB888, KOP_NORM_RGB565, KOP_NORM_RGB16,
    KOP_CONVERT_FP_FP, KOP_CONVERT_FP_FP_ZEROPOINT, KOP_CONVERT_FP_FP_SCALE,
    KOP_CONCAT, KOP_SPLIT, KOP_BILINEAR_RESIZE, KOP_NEAREST_NEIGHBOR_RESIZE
} KernelOper_T;

typedef enum { ARG_SCOPE_ARG, ARG_SCOPE_ARG_ALLOC, ARG_SCOPE_LOCAL, ARG_SCOPE_GLOBAL } ArgScope_T;
typedef enum { ARG_DIR_IN, ARG_DIR_OUT, ARG_DIR_INOUT, ARG_DIR_CONSTIN } ArgDirection_T;
typedef enum { GNA_IN, GNA_OUT, GNA_INOUT } GraghNodeArgT;
typedef enum { CALL_PROLOG, CALL_EPILOG } CallLocationT;
typedef enum { CALL_PARALLEL, CALL_SEQUENTIAL } KernelCallTypeT;
typedef enum { LOC_LOOP, LOC_D0 } KernelCallLocationT;
typedef enum { KER_ITER_TILE0, KER_ITER_D0 } KernelIteratorT;
typedef enum { TILE_HOR, TILE_VER } Tile_Orientation_T;
typedef enum { KER_ARG_TILE, KER_ARG_PARTILE_SIZE } KernelArgSelect_T;
typedef enum { O_IN = 1, O_OUT = 2, O_DB = 4, O_BUFF = 8, O_NTILED = 16 } Object_Type_T;
typedef enum { AT_KERINFO_OPER, AT_KERINFO_BANDWIDTH } AT_KernelInfo_T;

typedef struct Arg CKernel_Arg_T;
typedef struct Init ConstInit_T;
typedef struct Binding ArgBindingDescr_T;
typedef struct Iterator KernelIteratorDescrT;
typedef struct Space KernelIterationSpaceT;
typedef struct Dim KernelArgDimDescrT;
typedef struct Object Object_T;
typedef struct KernelCall CKernelCall_T;
typedef struct Kernel Kernel_T;
typedef struct Graph CNNGraph_T;
typedef struct Match CNN_LayerOp_T;
typedef struct { int Opaque; } CNN_GenControl_T;

int TilerParseOptions(int argc, char **argv);
void GenerateTilingCode(void);
void SetSymbolDynamics(void);
void SetUsedFilesNames(char *StdTypes, unsigned int Count, ...);
void SetGeneratedFilesNames(char *Source, char *Header);
void SetMemoryDeviceInfos(int Count, ...);
void AT_SetGraphCtrl(AT_GraphCtrl_T Ctrl, void *Value);
void AT_SetKernelCtrl(AT_GraphCtrl_T Ctrl, void *Value);

CKernel_Arg_T **CArgs(unsigned int Count, ...);
CKernel_Arg_T *TCArg(char *Type, char *Name);
CKernel_Arg_T *TCArgInfo(char *Type, char *Name, ArgScope_T Scope, ArgDirection_T Dir,
                         AT_MemLocation_T Home, AT_MemLocation_T Exec, ConstInit_T *Init);
CKernel_Arg_T *TCArgInfoA(char *Type, char *Name, ArgScope_T Scope, ArgDirection_T Dir,
                          AT_MemLocation_T Home, AT_MemLocation_T Exec, ConstInit_T *Init);
ConstInit_T *ConstInfo(char *File, int Format, int Binary, int Size, int Fract);
CNNGraph_T *CreateGraph(char *Name, CKernel_Arg_T **Args, CKernel_Arg_T **Locals);
void AddStackedTensors(char *Whole, int Count, ...);
void AT_UnusedStackMember(char *Name, unsigned int Size);
void AddNode(char *Name, ArgBindingDescr_T **Bindings);
void AddCallToNode(char *Name, CallLocationT Where, char *Function, ArgBindingDescr_T **Bindings);
ArgBindingDescr_T **Bindings(int Count, ...);
ArgBindingDescr_T *GNodeArg(GraghNodeArgT Type, char *Name, char *Alias);
ArgBindingDescr_T *GNodeCArg(char *Name);
ArgBindingDescr_T *Imm(int Value);
void CloseGraph(void);

void LibKernel(char *Name, KernelCallTypeT Type, CKernel_Arg_T **Args, char *Struct,
               CNN_LayerOp_T *Match);
Kernel_T *UserKernel(char *Name, KernelIterationSpaceT *Space, Tile_Orientation_T Orientation,
                     CKernel_Arg_T **Args, CKernelCall_T **Calls, Object_T **KerArgs);
KernelIterationSpaceT *KernelIterSpace(unsigned int Dim, ...);
KernelIteratorDescrT *IterTiledSpace(KernelIteratorT Space);
KernelIteratorDescrT *IterParSpace(KernelIteratorT Space, unsigned int Dim, unsigned int Div);
CKernelCall_T **Calls(unsigned int Count, ...);
CKernelCall_T *Call(char *Name, KernelCallLocationT Where, ArgBindingDescr_T **Bindings);
ArgBindingDescr_T *K_Arg(char *Name, KernelArgSelect_T Select);
ArgBindingDescr_T *K_ArgPar(char *Name, KernelArgSelect_T Select, KernelIteratorT Space);
Object_T **KerArgs(unsigned int Count, ...);
KernelArgDimDescrT *KerArgSpace(unsigned int Dim, ...);
Object_T *KerArg(char *Name, KernelArgDimDescrT *Space, Object_Type_T Type, unsigned int W,
                 unsigned int H, unsigned int ItemSize, int Overlap, int Constraint,
                 unsigned int Preferred, char *Arg);
void AddKernelInfos(char *Name, AT_KernelInfo_T Info, long long int Value, void *Pointer);
void AddKernelArgDim(char *Name, char *Arg, int Dim, ...);

void CNN_InitGenCtrl(CNN_GenControl_T *Ctrl);
void CNN_SetGenCtrl(CNN_GenControl_T *Ctrl, char *Name, void *Value);

#endif
