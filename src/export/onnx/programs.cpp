// SPDX-License-Identifier: Apache-2.0
// Elementwise programs, one ONNX node a step.
#include "export/onnx/writer.h"

namespace lathe::onnx {

namespace {

// ONNX's operator for a primitive; empty where there is none of the same meaning.
std::string_view operator_of(const Step& s) {
  const bool truth = s.dtype == DType::kBool;
  switch (s.prim) {
    case Prim::kAdd:
      return "Add";
    case Prim::kSub:
      return "Sub";
    case Prim::kMul:
      return "Mul";
    case Prim::kDiv:
      return "Div";
    case Prim::kPow:
      return "Pow";
    case Prim::kMin:
      return "Min";
    case Prim::kMax:
      return "Max";
    case Prim::kNeg:
      return "Neg";
    case Prim::kAbs:
      return "Abs";
    case Prim::kSign:
      return "Sign";
    case Prim::kFloor:
      return "Floor";
    case Prim::kCeil:
      return "Ceil";
    case Prim::kRound:
      return "Round";
    case Prim::kSqrt:
      return "Sqrt";
    case Prim::kExp:
      return "Exp";
    case Prim::kLog:
      return "Log";
    case Prim::kErf:
      return "Erf";
    case Prim::kTanh:
      return "Tanh";
    case Prim::kSigmoid:
      return "Sigmoid";
    case Prim::kSin:
      return "Sin";
    case Prim::kCos:
      return "Cos";
    case Prim::kTan:
      return "Tan";
    case Prim::kAsin:
      return "Asin";
    case Prim::kAcos:
      return "Acos";
    case Prim::kAtan:
      return "Atan";
    case Prim::kSinh:
      return "Sinh";
    case Prim::kCosh:
      return "Cosh";
    case Prim::kAsinh:
      return "Asinh";
    case Prim::kAcosh:
      return "Acosh";
    case Prim::kAtanh:
      return "Atanh";
    case Prim::kReciprocal:
      return "Reciprocal";
    case Prim::kEq:
      return "Equal";
    case Prim::kLt:
      return "Less";
    case Prim::kLe:
      return "LessOrEqual";
    case Prim::kAnd:
      return truth ? "And" : "BitwiseAnd";
    case Prim::kOr:
      return truth ? "Or" : "BitwiseOr";
    case Prim::kXor:
      return truth ? "Xor" : "BitwiseXor";
    case Prim::kNot:
      return truth ? "Not" : "BitwiseNot";
    case Prim::kIsNaN:
      return "IsNaN";
    case Prim::kIsInf:
      return "IsInf";
    case Prim::kSelect:
      return "Where";
    default:
      return {};
  }
}

}  // namespace

Result<std::string> Writer::program(const Program& p, const std::vector<std::string>& inputs,
                                    const std::string& result) {
  std::vector<std::string> names;
  const auto last = static_cast<size_t>(p.results[0]);
  for (size_t i = 0; i < p.steps.size() && i <= last; ++i) {
    const Step& s = p.steps[i];
    const std::string wanted = i == last ? result : std::string();
    const auto at = [&](int k) { return names[static_cast<size_t>(k)]; };
    const bool is_float = dtype_info(s.dtype).is_float;
    std::string made;
    if (s.prim == Prim::kInput) {
      made = inputs[static_cast<size_t>(s.integer)];
      if (!wanted.empty()) made = add("Identity", {made}, {}, wanted);
    } else if (s.prim == Prim::kConstant) {
      Tensor t = Tensor::zeros(s.dtype, {});
      if (is_float)
        t.set(0, s.value);
      else
        t.set_i64(0, s.integer);
      made = initializer(t);
      if (!wanted.empty()) made = add("Identity", {made}, {}, wanted);
    } else if (s.prim == Prim::kCast) {
      made = add("Cast", {at(s.a)}, Attributes().i("to", static_cast<int64_t>(s.dtype)), wanted);
    } else if (s.prim == Prim::kTrunc) {
      made = is_float ? add("Mul", {add("Sign", {at(s.a)}), add("Floor", {add("Abs", {at(s.a)})})}, {}, wanted)
                      : add("Identity", {at(s.a)}, {}, wanted);
    } else if (s.prim == Prim::kFmod || (s.prim == Prim::kMod && !is_float)) {
      made = add("Mod", {at(s.a), at(s.b)}, Attributes().i("fmod", s.prim == Prim::kFmod ? 1 : 0), wanted);
    } else if (s.prim == Prim::kMod) {  // x - floor(x / y) * y
      const std::string whole = add("Mul", {add("Floor", {add("Div", {at(s.a), at(s.b)})}), at(s.b)});
      made = add("Sub", {at(s.a), whole}, {}, wanted);
    } else if (s.prim == Prim::kShl || s.prim == Prim::kShr) {
      if (dtype_info(s.dtype).is_signed) return fail(Code::kUnsupported, "shifts of signed integers");
      made = add("BitShift", {at(s.a), at(s.b)}, Attributes().s("direction", s.prim == Prim::kShl ? "LEFT" : "RIGHT"),
                 wanted);
    } else {
      const auto op = operator_of(s);
      if (op.empty()) return fail(Code::kUnsupported, "primitive " + std::string(prim_info(s.prim).name));
      std::vector<std::string> operands = {at(s.a)};
      if (s.b >= 0) operands.push_back(at(s.b));
      if (s.c >= 0) operands.push_back(at(s.c));
      made = add(op, operands, {}, wanted);
    }
    names.push_back(std::move(made));
  }
  return names[last];
}

}  // namespace lathe::onnx
