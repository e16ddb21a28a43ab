// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "lathe/lathe.h"

namespace lathe {

/// An attribute of a custom operator's node; a single number or string is a list of one.
struct CustomAttribute {
  enum class Kind : uint8_t { kInts, kFloats, kStrings, kTensor };
  std::string name;
  Kind kind = Kind::kInts;
  std::vector<int64_t> ints;  ///< kInts; kTensor: its dimensions
  std::vector<double> floats;
  std::vector<std::string> strings;
  DType dtype = DType::kUndefined;  ///< kTensor
  std::vector<uint8_t> data;        ///< kTensor: as many bytes as dtype and dimensions say
};

/// A call of an operator that the program registers with the runtime (lathe_register_operator).
struct CustomOperator {
  struct Operand {
    DType dtype = DType::kUndefined;  ///< kUndefined: an input that is absent
    int32_t rank = 0;
  };
  std::string domain, name;
  std::vector<CustomAttribute> attributes;
  std::vector<Operand> inputs, outputs;
};

/// In a plan such a call is an instruction whose tactic begins so. Its buffers are a weight that holds the encoded
/// CustomOperator, the inputs and the outputs; its scalars are all their dimensions, one after another. It sets those
/// of its outputs that are symbols in `defines`. Its kernel only stores a fault: the runtime makes the call itself.
inline constexpr std::string_view kCustomTactic = "custom ";

std::vector<std::byte> encode_operator(const CustomOperator& op);
/// What encode_operator made; kDamaged for anything else, counts and sizes that do not fit included.
Result<CustomOperator> decode_operator(std::span<const std::byte> bytes);

/// "com.example.Name", as people are told of an operator.
std::string operator_name(std::string_view domain, std::string_view name);

/// The structs that a custom operator's functions are given, made once and filled in for each call: calling allocates
/// nothing unless it fails. The attributes are those of `described`, which must outlive this.
class OperatorCall {
 public:
  OperatorCall(const CustomOperator& described, const lathe_operator& implementation, size_t inputs, size_t outputs);
  OperatorCall(const OperatorCall&) = delete;
  OperatorCall& operator=(const OperatorCall&) = delete;

  /// To be filled in before shape(); `dims` and `data` stay the caller's. Bytes follow from dtype and dims.
  void set_input(size_t i, DType dtype, const int64_t* dims, size_t rank, const void* data);
  [[nodiscard]] lathe_result& output(size_t i) { return outputs_[i]; }

  /// Asks for the outputs' types and shapes. Checked: types have a size, ranks are within LATHE_MAX_RANK.
  Status shape();
  /// Computes the outputs, whose memory has been filled in. Without `parallel` parts are computed one after another.
  Status run(decltype(lathe_operator_call::parallel) parallel = nullptr, void* owner = nullptr);
  /// Bytes of an output of constant shape; nothing if that is negative or too large.
  [[nodiscard]] std::optional<int64_t> output_bytes(size_t i) const;

 private:
  Status finish(lathe_status status, const char* function);

  lathe_operator implementation_;
  lathe_operator_call call_{};
  std::unique_ptr<int64_t[]> memory_;  ///< of all that call_ points to
  lathe_tensor* inputs_ = nullptr;
  lathe_result* outputs_ = nullptr;
};

}  // namespace lathe
