// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/tensorflow/node.h"

/// What the rows of the table call; one file for each family.
namespace lathe::tensorflow {

// elementwise.cpp
/// The canonical operator of the row's name, attributes copied by name, inputs as they are.
Result<Items> generic(Node& n);
Result<Items> identity(Node& n);
Result<Items> nothing(Node& n);
Result<Items> cast(Node& n);
Result<Items> composed(Node& n);
Result<Items> select_v1(Node& n);
Result<Items> shift(Node& n);
// complex.cpp
Result<Items> arithmetic(Node& n);
Result<Items> complex_parts(Node& n);
Result<Items> fft(Node& n);
// linear.cpp
Result<Items> matmul(Node& n);
Result<Items> einsum(Node& n);
Result<Items> bias_add(Node& n);
// conv.cpp
Result<Items> conv(Node& n);
Result<Items> conv_transpose(Node& n);
Result<Items> pool(Node& n);
Result<Items> space_batch(Node& n);
Result<Items> depth_space(Node& n);
// norm.cpp
Result<Items> batch_norm(Node& n);
Result<Items> softmax(Node& n);
Result<Items> lrn(Node& n);
// reduce.cpp
Result<Items> reduce(Node& n);
Result<Items> arg_reduce(Node& n);
Result<Items> cumsum(Node& n);
// shape_ops.cpp
Result<Items> constant(Node& n);
Result<Items> reshape(Node& n);
Result<Items> squeeze(Node& n);
Result<Items> expand_dims(Node& n);
Result<Items> transpose(Node& n);
Result<Items> shape_of(Node& n);
Result<Items> size_of(Node& n);
Result<Items> fill(Node& n);
Result<Items> like(Node& n);
Result<Items> broadcast_to(Node& n);
Result<Items> range(Node& n);
Result<Items> band_part(Node& n);
// index_ops.cpp
Result<Items> pack(Node& n);
Result<Items> unpack(Node& n);
Result<Items> concat(Node& n);
Result<Items> split(Node& n);
Result<Items> slice(Node& n);
Result<Items> strided_slice(Node& n);
Result<Items> pad(Node& n);
Result<Items> mirror_pad(Node& n);
Result<Items> tile(Node& n);
Result<Items> gather(Node& n);
Result<Items> gather_nd(Node& n);
Result<Items> scatter(Node& n);
Result<Items> reverse(Node& n);
Result<Items> top_k(Node& n);
Result<Items> one_hot(Node& n);
Result<Items> where(Node& n);
Result<Items> non_max_suppression(Node& n);
// resize.cpp
Result<Items> resize(Node& n);
// control.cpp
Result<Items> call(Node& n);
Result<Items> branch(Node& n);
Result<Items> loop(Node& n);
Result<Items> variable(Node& n);
Result<Items> read_variable(Node& n);
Result<Items> assign_variable(Node& n);
Result<Items> list(Node& n);
Result<Items> no_strings(Node& n);

}  // namespace lathe::tensorflow
