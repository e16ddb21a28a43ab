// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "import/builder.h"
#include "import/keras/hdf5.h"

namespace lathe::keras {

using Json = nlohmann::json;
using Values = std::vector<ValueId>;
using importer::Builder;

inline std::unexpected<Error> unsupported(std::string why) { return fail(Code::kUnsupported, std::move(why)); }
inline std::unexpected<Error> damaged(std::string why) { return fail(Code::kDamaged, std::move(why)); }

struct Row;
/// The table of layers; nullptr if there is none.
const Row* find_row(std::string_view class_name);

/// Where a layer's weights lie: in a .keras archive a group with more groups for what the layer is made of, in a .h5
/// file a list of datasets for the whole layer, which are taken one after the other.
struct Place {
  bool listed = false;
  std::string group;
  std::vector<std::string> datasets;
  size_t next = 0;
};

/// One call of a layer while it is translated. The first wrong setting or missing weight sticks in the builder, so that
/// handlers read as expressions.
class Layer {
 public:
  Layer(const Row& row, const Json& config, Values inputs, Place& place, const Hdf5& weights, Builder& builder)
      : b(builder), in(std::move(inputs)), row_(row), config_(config), place_(place), weights_(weights) {}

  /// The row's variant.
  [[nodiscard]] std::string_view variant() const;
  [[nodiscard]] const Json* setting(std::string_view key) const;  ///< nullptr where absent or null
  [[nodiscard]] std::string s(std::string_view key, std::string_view otherwise) const;
  [[nodiscard]] bool flag(std::string_view key, bool otherwise) const;
  int64_t i(std::string_view key, int64_t otherwise);
  double f(std::string_view key, double otherwise);
  std::vector<int64_t> ints(std::string_view key);  ///< a number is a list of one; empty where absent
  /// `count` numbers in 1 … 2^31; one number stands for all.
  std::vector<int64_t> sizes(std::string_view key, size_t count, int64_t otherwise);
  /// Numbers as an f32 constant: a scalar, or one for each element of the last dimension.
  ValueId numbers(const Json& j);
  /// The next weights of the part `sub` ("cell"), `count` of them.
  Values weights(std::string_view sub, size_t count);
  int64_t axis(int64_t axis, int64_t rank);
  void fail_with(Code code, std::string why);

  [[nodiscard]] ValueId x() const { return in[0]; }
  [[nodiscard]] const Row& row() const { return row_; }
  [[nodiscard]] const Json& config() const { return config_; }
  [[nodiscard]] Place& place() { return place_; }
  [[nodiscard]] const Hdf5& file() const { return weights_; }
  [[nodiscard]] ValueId number(double v) const { return b.scalar(b.dtype(in[0]), v); }

  Result<Values> done(Values values) const {
    if (!b.ok()) return std::unexpected(b.status().error());
    return values;
  }
  Result<Values> done(ValueId value) const { return done(Values{value}); }

  Builder& b;
  Values in;
  bool keras2 = false;  ///< which Keras wrote the model: some functions changed
  bool causal = false;  ///< the call's use_causal_mask
  std::string prefix;   ///< of the weights' parts: a layer within another

 private:
  const Row& row_;
  const Json& config_;
  Place& place_;
  const Hdf5& weights_;
};

using Handler = Result<Values> (*)(Layer&);
struct Row {
  std::string_view name;
  Handler handler;
  std::string_view variant = {};
  size_t least_inputs = 1;
};

/// x after the activation that a layer's setting names (a name, or the description of a function).
ValueId activated(Layer& n, ValueId x, std::string_view key);

// core.cpp
Result<Values> identity(Layer& n);
Result<Values> dense(Layer& n);
Result<Values> activation(Layer& n);
Result<Values> parametric(Layer& n);
Result<Values> flatten(Layer& n);
Result<Values> reshape(Layer& n);
Result<Values> permute(Layer& n);
Result<Values> repeat(Layer& n);
Result<Values> merge(Layer& n);
Result<Values> concatenate(Layer& n);
Result<Values> reduce(Layer& n);
Result<Values> embedding(Layer& n);
Result<Values> rescaling(Layer& n);
Result<Values> batch_norm(Layer& n);
Result<Values> layer_norm(Layer& n);
Result<Values> group_norm(Layer& n);
Result<Values> unit_norm(Layer& n);
Result<Values> attention(Layer& n);
// spatial.cpp
Result<Values> conv(Layer& n);
Result<Values> separable(Layer& n);
Result<Values> conv_transpose(Layer& n);
Result<Values> pool(Layer& n);
Result<Values> global_pool(Layer& n);
Result<Values> pad(Layer& n);
Result<Values> crop(Layer& n);
Result<Values> upsample(Layer& n);
// recurrent.cpp
Result<Values> recurrent(Layer& n);
Result<Values> bidirectional(Layer& n);
Result<Values> time_distributed(Layer& n);

}  // namespace lathe::keras
