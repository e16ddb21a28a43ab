// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/pt2/node.h"

/// What the rows of the table call; one file for each family.
namespace lathe::pt2 {

// elementwise.cpp: the row names the canonical operator
Result<Values> unary(Node& n);       ///< floats; integers become f32
Result<Values> unary_same(Node& n);  ///< of the input's type
Result<Values> rounding(Node& n);    ///< integers stay as they are
Result<Values> binary(Node& n);
Result<Values> comparison(Node& n);
Result<Values> logical(Node& n);
Result<Values> bitwise(Node& n);
Result<Values> division(Node& n);
Result<Values> remainder(Node& n);
Result<Values> power(Node& n);
Result<Values> where(Node& n);
Result<Values> masked_fill(Node& n);
Result<Values> clamp(Node& n);
Result<Values> addcmul(Node& n);
Result<Values> lerp(Node& n);
Result<Values> cast(Node& n);
Result<Values> identity(Node& n);
Result<Values> copy(Node& n);
Result<Values> dropout(Node& n);
// activations.cpp
Result<Values> composed(Node& n);  ///< unary functions of several operators
Result<Values> with_alpha(Node& n);
Result<Values> hard_sigmoid(Node& n);
Result<Values> softplus(Node& n);
Result<Values> elu(Node& n);
Result<Values> gelu(Node& n);
Result<Values> prelu(Node& n);
Result<Values> glu(Node& n);
Result<Values> rrelu(Node& n);
Result<Values> shrink(Node& n);
Result<Values> threshold(Node& n);
// binary.cpp: functions of two tensors that are composed; the row names them
Result<Values> composed_of_two(Node& n);
Result<Values> shift(Node& n);
Result<Values> is_close(Node& n);
// views.cpp
Result<Values> view(Node& n);
Result<Values> flatten(Node& n);
Result<Values> unflatten(Node& n);
Result<Values> squeeze(Node& n);
Result<Values> unsqueeze(Node& n);
Result<Values> permute(Node& n);
Result<Values> transpose(Node& n);
Result<Values> movedim(Node& n);
Result<Values> expand(Node& n);
Result<Values> shape_as(Node& n);
Result<Values> repeat(Node& n);
Result<Values> repeat_interleave(Node& n);
Result<Values> flip(Node& n);
Result<Values> roll(Node& n);
Result<Values> pixel_shuffle(Node& n);
Result<Values> pixel_unshuffle(Node& n);
Result<Values> channel_shuffle(Node& n);
Result<Values> diagonal(Node& n);
Result<Values> diag(Node& n);
Result<Values> at_least(Node& n);
Result<Values> broadcast_tensors(Node& n);
// slices.cpp
Result<Values> cat(Node& n);
Result<Values> stack(Node& n);
Result<Values> slice(Node& n);
Result<Values> select(Node& n);
Result<Values> narrow(Node& n);
Result<Values> split(Node& n);
Result<Values> chunk(Node& n);
Result<Values> unbind(Node& n);
Result<Values> stack_along(Node& n);
Result<Values> slice_scatter(Node& n);
Result<Values> pad(Node& n);
Result<Values> unfold(Node& n);
Result<Values> im2col(Node& n);
// indexing.cpp
Result<Values> index(Node& n);
Result<Values> index_put(Node& n);
Result<Values> index_select(Node& n);
Result<Values> gather(Node& n);
Result<Values> embedding(Node& n);
Result<Values> scatter(Node& n);
Result<Values> nonzero(Node& n);
Result<Values> masked_select(Node& n);
Result<Values> topk(Node& n);
Result<Values> sort(Node& n);
Result<Values> triangle(Node& n);
Result<Values> one_hot(Node& n);
Result<Values> meshgrid(Node& n);
// scatters.cpp
Result<Values> index_store(Node& n);
Result<Values> view_scatter(Node& n);
Result<Values> take(Node& n);
Result<Values> masked_scatter(Node& n);
Result<Values> col2im(Node& n);
// ordering.cpp
Result<Values> kth_value(Node& n);
Result<Values> median(Node& n);
Result<Values> bucketize(Node& n);
Result<Values> is_in(Node& n);
// create.cpp
Result<Values> full(Node& n);
Result<Values> full_like(Node& n);
Result<Values> arange(Node& n);
Result<Values> linspace(Node& n);
Result<Values> eye(Node& n);
Result<Values> scalar_tensor(Node& n);
// reduce.cpp
Result<Values> reduce(Node& n);
Result<Values> extreme(Node& n);  ///< max and min in all their forms
Result<Values> truth(Node& n);
Result<Values> arg_reduce(Node& n);
Result<Values> variance(Node& n);
Result<Values> norm(Node& n);
Result<Values> cumsum(Node& n);
Result<Values> both_extremes(Node& n);
Result<Values> count_nonzero(Node& n);
Result<Values> nan_reduce(Node& n);
Result<Values> distance(Node& n);
Result<Values> diff(Node& n);
// linear.cpp
Result<Values> linear(Node& n);
Result<Values> matmul(Node& n);
Result<Values> addmm(Node& n);
Result<Values> outer(Node& n);
Result<Values> inner(Node& n);
Result<Values> bilinear(Node& n);
Result<Values> einsum(Node& n);
// conv.cpp
Result<Values> conv(Node& n);
Result<Values> max_pool(Node& n);
Result<Values> avg_pool(Node& n);
Result<Values> adaptive_avg_pool(Node& n);
Result<Values> adaptive_max_pool(Node& n);
// norm.cpp
Result<Values> batch_norm(Node& n);
Result<Values> layer_norm(Node& n);
Result<Values> group_norm(Node& n);
Result<Values> instance_norm(Node& n);
Result<Values> rms_norm(Node& n);
Result<Values> weight_norm(Node& n);
Result<Values> softmax(Node& n);
// attention.cpp
Result<Values> attention(Node& n);
// recurrent.cpp
Result<Values> recurrent(Node& n);
Result<Values> recurrent_cell(Node& n);
// resize.cpp
Result<Values> resize(Node& n);
// vision.cpp
Result<Values> nms(Node& n);
Result<Values> roi_align(Node& n);
Result<Values> grid_sample(Node& n);
Result<Values> affine_grid(Node& n);
// quant.cpp
Result<Values> quantize(Node& n);
Result<Values> dequantize(Node& n);

}  // namespace lathe::pt2
