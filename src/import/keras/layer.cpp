// SPDX-License-Identifier: Apache-2.0
#include "import/keras/layer.h"

#include <nlohmann/json.hpp>

namespace lathe::keras {

std::string_view Layer::variant() const { return row_.variant.empty() ? row_.name : row_.variant; }

void Layer::fail_with(Code code, std::string why) { b.set_error({code, std::move(why)}); }

const Json* Layer::setting(std::string_view key) const {
  const auto found = config_.find(key);
  return found == config_.end() || found->is_null() ? nullptr : &*found;
}

std::string Layer::s(std::string_view key, std::string_view otherwise) const {
  const Json* j = setting(key);
  return j && j->is_string() ? j->get<std::string>() : std::string(otherwise);
}

bool Layer::flag(std::string_view key, bool otherwise) const {
  const Json* j = setting(key);
  return j && j->is_boolean() ? j->get<bool>() : otherwise;
}

int64_t Layer::i(std::string_view key, int64_t otherwise) {
  const auto all = ints(key);
  return all.empty() ? otherwise : all[0];
}

double Layer::f(std::string_view key, double otherwise) {
  const Json* j = setting(key);
  return j && j->is_number() ? j->get<double>() : otherwise;
}

std::vector<int64_t> Layer::ints(std::string_view key) {
  std::vector<int64_t> r;
  const Json* j = setting(key);
  if (!j) return r;
  const auto add = [&](const Json& e) {
    if (e.is_number_integer())
      r.push_back(e.get<int64_t>());
    else
      fail_with(Code::kDamaged, "setting \"" + std::string(key) + "\" must be whole numbers");
  };
  if (j->is_array())
    for (const Json& e : *j) add(e);
  else
    add(*j);
  return r;
}

std::vector<int64_t> Layer::sizes(std::string_view key, size_t count, int64_t otherwise) {
  std::vector<int64_t> r = ints(key);
  if (r.empty()) r.assign(count, otherwise);
  if (r.size() == 1) r.assign(count, r[0]);
  bool fits = r.size() == count;
  for (const int64_t v : r) fits = fits && v >= 1 && v < int64_t{1} << 31;
  if (fits) return r;
  fail_with(Code::kDamaged, "setting \"" + std::string(key) + "\" is out of range");
  return std::vector<int64_t>(count, 1);
}

ValueId Layer::numbers(const Json& j) {
  const auto flat = [](const Json& e) { return &e; };
  const Json* list = flat(j);
  while (list->is_array() && list->size() == 1 && (*list)[0].is_array()) list = &(*list)[0];
  std::vector<float> values;
  const auto add = [&](const Json& e) {
    if (e.is_number()) return values.push_back(e.get<float>());
    fail_with(Code::kUnsupported, "a setting is not a number or a list of numbers");
  };
  if (!list->is_array()) {
    add(*list);
    return b.ok() ? b.constant(Tensor::scalar_f32(values[0])) : kNoId;
  }
  for (const Json& e : *list) add(e);
  return b.ok() ? b.constant(Tensor::of<float>(DType::kF32, {static_cast<int64_t>(values.size())}, values)) : kNoId;
}

Values Layer::weights(std::string_view sub, size_t count) {
  Values r;
  std::string part = prefix;
  if (!sub.empty()) part += (part.empty() ? "" : "/") + std::string(sub);
  for (size_t k = 0; k < count && b.ok(); ++k) {
    std::string path;
    if (place_.listed) {
      if (place_.next >= place_.datasets.size()) {
        fail_with(Code::kDamaged, "the file has fewer weights than the layer needs");
        break;
      }
      path = place_.datasets[place_.next++];
    } else {
      path = place_.group + (part.empty() ? "" : "/" + part) + "/vars/" + std::to_string(k);
    }
    const auto at = weights_.find(weights_.root(), path);
    if (!at) b.set_error(at.error());
    if (at && !*at) fail_with(Code::kDamaged, "the file has no weights \"" + path + "\"");
    if (!at || !*at) break;
    auto t = weights_.dataset(**at);
    if (!t) {
      b.set_error({t.error().code, "weights \"" + path + "\": " + t.error().message});
      break;
    }
    const bool real = dtype_info(t->dtype()).is_float;
    if (!real) {
      fail_with(Code::kUnsupported, "weights \"" + path + "\" are " + std::string(dtype_name(t->dtype())) +
                                        "; layers quantized by Keras are not supported");
      break;
    }
    const ValueId v = b.constant(std::move(*t));
    r.push_back(b.dtype(v) == DType::kF32 ? v : b.cast(v, DType::kF32));
  }
  r.resize(count, kNoId);
  return r;
}

int64_t Layer::axis(int64_t axis, int64_t rank) {
  const int64_t r = axis < 0 ? axis + rank : axis;
  if (r >= 0 && r < rank) return r;
  fail_with(Code::kDamaged, "axis " + std::to_string(axis) + " is out of range for rank " + std::to_string(rank));
  return 0;
}

}  // namespace lathe::keras
