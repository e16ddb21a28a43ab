// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/onnx/node.h"

/// What the rows of the table call; one file for each family.
namespace lathe::onnx {

/// The canonical operator of the row's name, attributes copied by name, inputs as they are.
Result<Values> generic(Node& n);

// elementwise.cpp
Result<Values> binary(Node& n);
Result<Values> prelu(Node& n);
Result<Values> identity(Node& n);
Result<Values> cast(Node& n);
Result<Values> cast_like(Node& n);
Result<Values> bit_cast(Node& n);
Result<Values> clip(Node& n);
// attention.cpp
Result<Values> attention(Node& n);
Result<Values> rotary(Node& n);
Result<Values> flex_attention(Node& n);
// conv.cpp
Result<Values> conv(Node& n);
/// A convolution of each channel by itself, without padding; inputs x, w, bias?.
Result<ValueId> depthwise(Node n, int64_t channels);
Result<Values> conv_transpose(Node& n);
Result<Values> pool(Node& n);
Result<Values> lp_pool(Node& n);
Result<Values> global_pool(Node& n);
// linear.cpp
Result<Values> matmul(Node& n);
Result<Values> gemm(Node& n);
Result<Values> einsum(Node& n);
// losses.cpp
Result<Values> nll_loss(Node& n);
Result<Values> cross_entropy(Node& n);
Result<Values> hardmax(Node& n);
// norm.cpp
Result<Values> batch_norm(Node& n);
Result<Values> instance_norm(Node& n);
Result<Values> group_norm(Node& n);
Result<Values> layer_norm(Node& n);
Result<Values> rms_norm(Node& n);
Result<Values> lrn(Node& n);
Result<Values> lp_norm(Node& n);
Result<Values> mean_variance_norm(Node& n);
Result<Values> softmax(Node& n);
// reduce.cpp
Result<Values> reduce(Node& n);
Result<Values> arg_reduce(Node& n);
// shape_ops.cpp
Result<Values> constant(Node& n);
Result<Values> constant_of_shape(Node& n);
Result<Values> reshape(Node& n);
Result<Values> flatten(Node& n);
Result<Values> squeeze(Node& n);
Result<Values> unsqueeze(Node& n);
Result<Values> transpose(Node& n);
Result<Values> depth_to_space(Node& n);
Result<Values> space_to_depth(Node& n);
Result<Values> eye_like(Node& n);
// index_ops.cpp
Result<Values> concat(Node& n);
Result<Values> expand(Node& n);
Result<Values> slice(Node& n);
Result<Values> split(Node& n);
Result<Values> pad(Node& n);
Result<Values> tile(Node& n);
Result<Values> gather(Node& n);
Result<Values> scatter(Node& n);
Result<Values> top_k(Node& n);
Result<Values> one_hot(Node& n);
Result<Values> compress(Node& n);
Result<Values> cum_prod(Node& n);
Result<Values> unique(Node& n);
Result<Values> col2im(Node& n);
// quant.cpp
Result<Values> quantize(Node& n);
Result<Values> dequantize(Node& n);
Result<Values> dynamic_quantize(Node& n);
Result<Values> qlinear_conv(Node& n);
Result<Values> qlinear_matmul(Node& n);
Result<Values> conv_integer(Node& n);
Result<Values> matmul_integer(Node& n);
// contrib_fused.cpp
Result<Values> fused_conv(Node& n);
Result<Values> fused_gemm(Node& n);
Result<Values> fused_matmul(Node& n);
Result<Values> bias_gelu(Node& n);
Result<Values> quick_gelu(Node& n);
Result<Values> bias_softmax(Node& n);
Result<Values> skip_layer_norm(Node& n);
Result<Values> simplified_layer_norm(Node& n);
Result<Values> embed_layer_norm(Node& n);
Result<Values> contrib_group_norm(Node& n);
Result<Values> conv_transpose_dynamic_pads(Node& n);
Result<Values> nhwc_pool(Node& n);
Result<Values> contrib_range(Node& n);
Result<Values> expand_dims(Node& n);
Result<Values> pairwise_distance(Node& n);
// contrib_attention.cpp
Result<Values> contrib_attention(Node& n);
Result<Values> qattention(Node& n);
Result<Values> multi_head_attention(Node& n);
Result<Values> contrib_rotary(Node& n);
Result<Values> group_query_attention(Node& n);
// contrib_quant.cpp
Result<Values> qlinear_binary(Node& n);
Result<Values> qlinear_unary(Node& n);
Result<Values> qlinear_concat(Node& n);
Result<Values> qlinear_pool(Node& n);
Result<Values> qlinear_softmax(Node& n);
Result<Values> qlinear_where(Node& n);
Result<Values> contrib_qlinear_conv(Node& n);
Result<Values> qgemm(Node& n);
Result<Values> matmul_integer_to_float(Node& n);
Result<Values> dynamic_quantize_matmul(Node& n);
Result<Values> dynamic_quantize_lstm(Node& n);
Result<Values> matmul_nbits(Node& n);
// ml_trees.cpp
Result<Values> tree_ensemble(Node& n);
Result<Values> tree_regressor(Node& n);
Result<Values> tree_classifier(Node& n);
// ml.cpp
Result<Values> linear_regressor(Node& n);
Result<Values> linear_classifier(Node& n);
Result<Values> svm_regressor(Node& n);
Result<Values> scaler(Node& n);
Result<Values> normalizer(Node& n);
Result<Values> binarizer(Node& n);
Result<Values> imputer(Node& n);
Result<Values> array_feature_extractor(Node& n);
Result<Values> feature_vectorizer(Node& n);
Result<Values> label_encoder(Node& n);
Result<Values> category_mapper(Node& n);
Result<Values> one_hot_encoder(Node& n);
Result<Values> maps(Node& n);
// resize.cpp
Result<Values> resize(Node& n);
Result<Values> upsample(Node& n);
// random.cpp
Result<Values> random_numbers(Node& n);
Result<Values> bernoulli(Node& n);
Result<Values> multinomial(Node& n);
Result<Values> dropout(Node& n);
// ngrams.cpp
Result<Values> tf_idf(Node& n);
// signal.cpp
Result<Values> window(Node& n);
Result<Values> dft(Node& n);
Result<Values> stft(Node& n);
Result<Values> mel_weights(Node& n);
// sampling.cpp
Result<Values> grid_sample(Node& n);
Result<Values> affine_grid(Node& n);
Result<Values> deform_conv(Node& n);
// roi_align.cpp
Result<Values> roi_align(Node& n);
// state.cpp
Result<Values> tensor_scatter(Node& n);
Result<Values> causal_conv(Node& n);
Result<Values> linear_attention(Node& n);
Result<Values> swiglu(Node& n);
Result<Values> reverse_sequence(Node& n);
Result<Values> center_crop_pad(Node& n);
Result<Values> max_unpool(Node& n);
// recurrent.cpp
Result<Values> recurrent(Node& n);
// sequences.cpp
Result<Values> sequence_empty(Node& n);
Result<Values> sequence_construct(Node& n);
Result<Values> sequence_insert(Node& n);
Result<Values> sequence_erase(Node& n);
Result<Values> sequence_at(Node& n);
Result<Values> sequence_length(Node& n);
Result<Values> sequence_map(Node& n);
Result<Values> concat_from_sequence(Node& n);
Result<Values> split_to_sequence(Node& n);
Result<Values> optional(Node& n);
Result<Values> optional_has_element(Node& n);
Result<Values> optional_get_element(Node& n);
// control.cpp
Result<Values> branch(Node& n);
Result<Values> loop(Node& n);
Result<Values> scan(Node& n);

}  // namespace lathe::onnx
