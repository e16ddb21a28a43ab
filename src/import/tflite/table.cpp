// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "import/tflite/handlers.h"
#include "import/tflite/integer.h"

namespace lathe::tflite {

namespace {

using enum Quantized;

// By the operator's number in the format. The fourth column is the canonical operator, or the variant of a handler that
// serves several; the fifth how it takes quantized integers.
constexpr Row kRows[] = {
    {0, "ADD", binary, "Add", kOwn, int_add},
    {1, "AVERAGE_POOL_2D", pool, "average", kOwn, int_average_pool},
    {2, "CONCATENATION", concatenation, {}, kOwn, int_concatenation},
    {3, "CONV_2D", conv, {}, kOwn, int_conv},
    {4, "DEPTHWISE_CONV_2D", depthwise_conv, {}, kOwn, int_depthwise_conv},
    {5, "DEPTH_TO_SPACE", depth_to_space, {}, kMoves},
    {6, "DEQUANTIZE", dequantize, {}, kOwn, dequantize},
    {7, "EMBEDDING_LOOKUP", embedding_lookup, {}, kMoves},
    {8, "FLOOR", generic, "Floor"},
    {9, "FULLY_CONNECTED", fully_connected, {}, kOwn, int_fully_connected},
    {11, "L2_NORMALIZATION", l2_normalization, {}, kOwn, int_l2_normalization},
    {12, "L2_POOL_2D", pool, "l2"},
    {13, "LOCAL_RESPONSE_NORMALIZATION", local_response_normalization},
    {14, "LOGISTIC", generic, "Sigmoid", kOwn, int_table},
    {16, "LSTM", lstm, "step"},
    {17, "MAX_POOL_2D", pool, "max", kOwn, int_max_pool},
    {18, "MUL", binary, "Mul", kOwn, int_mul},
    {19, "RELU", generic, "Relu", kOwn, int_relu},
    {20, "RELU_N1_TO_1", unary_clip, "n1_to_1", kOwn, int_relu},
    {21, "RELU6", unary_clip, "6", kOwn, int_relu},
    {22, "RESHAPE", reshape, {}, kMoves},
    {23, "RESIZE_BILINEAR", resize, "linear", kOwn, int_resize_bilinear},
    {24, "RNN", rnn, "step"},
    {25, "SOFTMAX", softmax, {}, kOwn, int_softmax},
    {26, "SPACE_TO_DEPTH", space_to_depth, {}, kMoves},
    {27, "SVDF", svdf},
    {28, "TANH", generic, "Tanh", kOwn, int_table},
    {31, "CALL", call, {}, kMoves},
    {34, "PAD", pad, {}, kMoves},
    {35, "UNIDIRECTIONAL_SEQUENCE_RNN", rnn, "sequence"},
    {36, "GATHER", gather, {}, kMoves},
    {37, "BATCH_TO_SPACE_ND", batch_to_space, {}, kMoves},
    {38, "SPACE_TO_BATCH_ND", space_to_batch, {}, kMoves},
    {39, "TRANSPOSE", transpose, {}, kMoves},
    {40, "MEAN", reduce, "mean", kOwn, int_mean},
    {41, "SUB", binary, "Sub", kOwn, int_add},
    {42, "DIV", binary, "Div"},
    {43, "SQUEEZE", squeeze, {}, kMoves},
    {44, "UNIDIRECTIONAL_SEQUENCE_LSTM", lstm, "sequence"},
    {45, "STRIDED_SLICE", strided_slice, {}, kMoves},
    {47, "EXP", generic, "Exp", kOwn, int_table},
    {48, "TOPK_V2", top_k, {}, kMoves},
    {49, "SPLIT", split, {}, kMoves},
    {50, "LOG_SOFTMAX", softmax, "log", kOwn, int_log_softmax},
    {53, "CAST", cast, {}, kMoves},
    {54, "PRELU", generic, "PRelu", kOwn, int_prelu},
    {55, "MAXIMUM", binary, "Max", kMoves},
    {56, "ARG_MAX", arg_reduce, "max", kMoves},
    {57, "MINIMUM", binary, "Min", kMoves},
    {58, "LESS", binary, "Less", kOwn, int_compare},
    {59, "NEG", generic, "Neg"},
    {60, "PADV2", pad, {}, kMoves},
    {61, "GREATER", binary, "Greater", kOwn, int_compare},
    {62, "GREATER_EQUAL", binary, "GreaterOrEqual", kOwn, int_compare},
    {63, "LESS_EQUAL", binary, "LessOrEqual", kOwn, int_compare},
    {64, "SELECT", select, "rows", kMoves},
    {65, "SLICE", slice, {}, kMoves},
    {66, "SIN", generic, "Sin"},
    {67, "TRANSPOSE_CONV", transpose_conv, {}, kOwn, int_transpose_conv},
    {69, "TILE", tile, {}, kMoves},
    {70, "EXPAND_DIMS", expand_dims, {}, kMoves},
    {71, "EQUAL", binary, "Equal", kOwn, int_compare},
    {72, "NOT_EQUAL", not_equal, "NotEqual", kOwn, int_compare},
    {73, "LOG", generic, "Log", kOwn, int_table},
    {74, "SUM", reduce, "sum", kOwn, int_mean},
    {75, "SQRT", generic, "Sqrt"},
    {76, "RSQRT", rsqrt, "Rsqrt", kOwn, int_abs},
    {77, "SHAPE", shape_of, {}, kMoves},
    {78, "POW", binary, "Pow"},
    {79, "ARG_MIN", arg_reduce, "min", kMoves},
    {80, "FAKE_QUANT", fake_quant},
    {81, "REDUCE_PROD", reduce, "prod"},
    {82, "REDUCE_MAX", reduce, "max", kMoves},
    {83, "PACK", pack, {}, kMoves},
    {84, "LOGICAL_OR", binary, "Or"},
    {85, "ONE_HOT", one_hot, {}, kMoves},
    {86, "LOGICAL_AND", binary, "And"},
    {87, "LOGICAL_NOT", generic, "Not"},
    {88, "UNPACK", unpack, {}, kMoves},
    {89, "REDUCE_MIN", reduce, "min", kMoves},
    {90, "FLOOR_DIV", floor_div},
    {91, "REDUCE_ANY", reduce, "max"},
    {92, "SQUARE", square},
    {93, "ZEROS_LIKE", zeros_like},
    {94, "FILL", fill, {}, kMoves},
    {95, "FLOOR_MOD", floor_mod},
    {96, "RANGE", range},
    {97, "RESIZE_NEAREST_NEIGHBOR", resize, "nearest", kMoves},
    {98, "LEAKY_RELU", leaky_relu, {}, kOwn, int_leaky_relu},
    {99, "SQUARED_DIFFERENCE", squared_difference, {}, kOwn, int_squared_difference},
    {100, "MIRROR_PAD", mirror_pad, {}, kMoves},
    {101, "ABS", generic, "Abs", kOwn, int_abs},
    {102, "SPLIT_V", split_v, {}, kMoves},
    {104, "CEIL", generic, "Ceil"},
    {105, "REVERSE_V2", reverse, {}, kMoves},
    {106, "ADD_N", add_n},
    {107, "GATHER_ND", gather_nd, {}, kMoves},
    {108, "COS", generic, "Cos"},
    {109, "WHERE", where},
    {110, "RANK", rank_of, {}, kMoves},
    {111, "ELU", generic, "Elu", kOwn, int_table},
    {112, "REVERSE_SEQUENCE", reverse_sequence, {}, kMoves},
    {113, "MATRIX_DIAG", matrix_diag},
    {114, "QUANTIZE", quantize, {}, kOwn, quantize},
    {115, "MATRIX_SET_DIAG", matrix_set_diag},
    {116, "ROUND", generic, "Round"},
    {117, "HARD_SWISH", generic, "HardSwish", kOwn, int_table},
    {118, "IF", if_else, {}, kMoves},
    {119, "WHILE", while_loop, {}, kMoves},
    {120, "NON_MAX_SUPPRESSION_V4", non_max_suppression},
    {121, "NON_MAX_SUPPRESSION_V5", non_max_suppression, "soft"},
    {122, "SCATTER_ND", scatter_nd, {}, kMoves},
    {123, "SELECT_V2", select, {}, kMoves},
    {125, "SEGMENT_SUM", segment, "add"},
    {126, "BATCH_MATMUL", batch_matmul, {}, kOwn, int_batch_matmul},
    {128, "CUMSUM", cumsum},
    {129, "CALL_ONCE", call_once, {}, kMoves},
    {130, "BROADCAST_TO", broadcast_to, {}, kMoves},
    {131, "RFFT2D", rfft_2d},
    {132, "CONV_3D", conv_3d},
    {133, "IMAG", complex_part, "imaginary"},
    {134, "REAL", complex_part, "real"},
    {135, "COMPLEX_ABS", complex_abs},
    {140, "REDUCE_ALL", reduce, "min"},
    {142, "VAR_HANDLE", var_handle, {}, kMoves},
    {143, "READ_VARIABLE", read_variable, {}, kMoves},
    {144, "ASSIGN_VARIABLE", assign_variable, {}, kMoves},
    {145, "BROADCAST_ARGS", broadcast_args},
    {147, "BUCKETIZE", bucketize},
    {150, "GELU", gelu, "Gelu", kOwn, int_table},
    {151, "DYNAMIC_UPDATE_SLICE", dynamic_update_slice, {}, kMoves},
    {152, "RELU_0_TO_1", unary_clip, "0_to_1", kOwn, int_relu},
    {153, "UNSORTED_SEGMENT_PROD", segment, "mul"},
    {154, "UNSORTED_SEGMENT_MAX", segment, "max"},
    {155, "UNSORTED_SEGMENT_SUM", segment, "add"},
    {156, "ATAN2", atan2},
    {157, "UNSORTED_SEGMENT_MIN", segment, "min"},
    {158, "SIGN", generic, "Sign"},
    {160, "BITWISE_XOR", binary, "BitwiseXor"},
    {161, "RIGHT_SHIFT", right_shift},
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::code));

// Custom operators go by their names.
constexpr Row kCustom[] = {
    {32, "TFLite_Detection_PostProcess", detection_post_process, {}, kMoves},
};

// Operators of the format without a row, for messages.
struct Name {
  int32_t code;
  std::string_view name;
};
constexpr Name kOthers[] = {
    {10, "HASHTABLE_LOOKUP"},
    {15, "LSH_PROJECTION"},
    {29, "CONCAT_EMBEDDINGS"},
    {30, "SKIP_GRAM"},
    {32, "custom operator"},
    {33, "EMBEDDING_LOOKUP_SPARSE"},
    {46, "BIDIRECTIONAL_SEQUENCE_RNN"},
    {51, "DELEGATE"},
    {52, "BIDIRECTIONAL_SEQUENCE_LSTM"},
    {68, "SPARSE_TO_DENSE"},
    {103, "UNIQUE"},
    {124, "DENSIFY"},
    {136, "HASHTABLE"},
    {137, "HASHTABLE_FIND"},
    {138, "HASHTABLE_IMPORT"},
    {139, "HASHTABLE_SIZE"},
    {141, "CONV_3D_TRANSPOSE"},
    {146, "RANDOM_STANDARD_NORMAL"},
    {148, "RANDOM_UNIFORM"},
    {149, "MULTINOMIAL"},
    {159, "BITCAST"},
    {203, "DILATE"},
    {205, "REDUCE_WINDOW"},
    {206, "STABLEHLO_COMPOSITE"},
};

}  // namespace

const Row* find_row(int32_t code) {
  const auto* it = std::ranges::lower_bound(kRows, code, {}, &Row::code);
  return it != std::end(kRows) && it->code == code ? it : nullptr;
}

const Row* find_custom_row(std::string_view name) {
  const auto* it = std::ranges::find(kCustom, name, &Row::op);
  return it != std::end(kCustom) ? it : nullptr;
}

std::string op_name(int32_t code) {
  if (const Row* row = find_row(code)) return std::string(row->op);
  const auto* it = std::ranges::find(kOthers, code, &Name::code);
  if (it != std::end(kOthers)) return std::string(it->name);
  return (code >= 162 && code <= 209 ? "STABLEHLO operator " : "operator ") + std::to_string(code);
}

}  // namespace lathe::tflite
