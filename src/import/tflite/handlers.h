// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/tflite/node.h"

/// What the rows of the table call; one file for each family.
namespace lathe::tflite {

/// The activation that many operators have built in.
ValueId activate(Node& n, ValueId x, fb::Activation a);
/// 0, 1, … n-1.
std::vector<int64_t> iota(int64_t n, int64_t first = 0);
/// x with dimensions of 1 put in front, up to `rank`.
ValueId lift(Node& n, ValueId x, int64_t rank);
/// An input of dynamic-range weights as f32.
ValueId real_weights(Node& n, size_t i);

/// The canonical operator of the row's name on the inputs as they are.
Result<Values> generic(Node& n);

// elementwise.cpp
Result<Values> binary(Node& n);
Result<Values> unary_clip(Node& n);
Result<Values> leaky_relu(Node& n);
Result<Values> gelu(Node& n);
Result<Values> rsqrt(Node& n);
Result<Values> square(Node& n);
Result<Values> squared_difference(Node& n);
Result<Values> floor_div(Node& n);
Result<Values> floor_mod(Node& n);
Result<Values> not_equal(Node& n);
Result<Values> select(Node& n);
Result<Values> add_n(Node& n);
Result<Values> cast(Node& n);
Result<Values> zeros_like(Node& n);
Result<Values> atan2(Node& n);
Result<Values> right_shift(Node& n);
Result<Values> bucketize(Node& n);
Result<Values> fake_quant(Node& n);
// state.cpp
Result<Values> call_once(Node& n);
Result<Values> var_handle(Node& n);
Result<Values> read_variable(Node& n);
Result<Values> assign_variable(Node& n);
// recurrent.cpp
Result<Values> lstm(Node& n);
Result<Values> rnn(Node& n);
Result<Values> svdf(Node& n);
// conv.cpp
Result<Values> conv(Node& n);
Result<Values> depthwise_conv(Node& n);
Result<Values> transpose_conv(Node& n);
Result<Values> conv_3d(Node& n);
Result<Values> pool(Node& n);
// linear.cpp
Result<Values> fully_connected(Node& n);
Result<Values> batch_matmul(Node& n);
// norm.cpp
Result<Values> softmax(Node& n);
Result<Values> l2_normalization(Node& n);
Result<Values> local_response_normalization(Node& n);
// reduce.cpp
Result<Values> reduce(Node& n);
Result<Values> arg_reduce(Node& n);
Result<Values> cumsum(Node& n);
Result<Values> top_k(Node& n);
// shape_ops.cpp
Result<Values> reshape(Node& n);
Result<Values> squeeze(Node& n);
Result<Values> expand_dims(Node& n);
Result<Values> shape_of(Node& n);
Result<Values> rank_of(Node& n);
Result<Values> fill(Node& n);
Result<Values> range(Node& n);
Result<Values> broadcast_to(Node& n);
Result<Values> broadcast_args(Node& n);
Result<Values> transpose(Node& n);
Result<Values> space_to_depth(Node& n);
Result<Values> depth_to_space(Node& n);
Result<Values> space_to_batch(Node& n);
Result<Values> batch_to_space(Node& n);
// move_ops.cpp
Result<Values> concatenation(Node& n);
Result<Values> pack(Node& n);
Result<Values> unpack(Node& n);
Result<Values> split(Node& n);
Result<Values> split_v(Node& n);
Result<Values> slice(Node& n);
Result<Values> strided_slice(Node& n);
Result<Values> pad(Node& n);
Result<Values> mirror_pad(Node& n);
Result<Values> tile(Node& n);
Result<Values> reverse(Node& n);
Result<Values> reverse_sequence(Node& n);
// index_ops.cpp
Result<Values> gather(Node& n);
Result<Values> gather_nd(Node& n);
Result<Values> embedding_lookup(Node& n);
Result<Values> scatter_nd(Node& n);
Result<Values> dynamic_update_slice(Node& n);
Result<Values> one_hot(Node& n);
Result<Values> where(Node& n);
Result<Values> segment(Node& n);
Result<Values> matrix_diag(Node& n);
Result<Values> matrix_set_diag(Node& n);
Result<Values> non_max_suppression(Node& n);
// resize.cpp
Result<Values> resize(Node& n);
// fourier.cpp
Result<Values> rfft_2d(Node& n);
Result<Values> complex_abs(Node& n);
Result<Values> complex_part(Node& n);
// control.cpp
Result<Values> if_else(Node& n);
Result<Values> while_loop(Node& n);
Result<Values> call(Node& n);
// detection.cpp
Result<Values> detection_post_process(Node& n);
// quant.cpp
Result<Values> quantize(Node& n);
Result<Values> dequantize(Node& n);

}  // namespace lathe::tflite
