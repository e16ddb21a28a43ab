// SPDX-License-Identifier: Apache-2.0
// Instructions that call what the program has registered.
#include <algorithm>

#include "runtime/operators.h"
#include "runtime/session_call.h"

namespace lathe {
namespace {

using Place = PlanBuffer::Place;
constexpr size_t idx(int64_t i) { return static_cast<size_t>(i); }

struct Parts {
  void (*task)(void*, int64_t, int64_t);
  void* argument;
};

}  // namespace

/// Does nothing for instructions that are no calls of custom operators.
Status Session::build_custom(int32_t at) {
  const Plan& p = engine_->plan();
  const PlanInstr& i = p.instrs[idx(at)];
  if (i.kind != PlanInstr::Kind::kKernel || !i.tactic.starts_with(kCustomTactic)) return {};
  const auto damaged = [&] {
    return fail(Code::kDamaged, "damaged plan: instruction " + std::to_string(at) + " is no call of a custom operator");
  };
  if (i.buffers.empty() || i.buffers[0] == kNone || buffer(i.buffers[0]).place != Place::kWeight) return damaged();
  const auto bytes = engine_->weight(buffer(i.buffers[0]).index);
  std::unique_ptr<Custom> c(new Custom);
  LATHE_TRY(c->described, decode_operator(bytes));
  const auto& [domain, name, attributes, inputs, outputs] = c->described;
  size_t scalars = 0;
  for (const auto& x : inputs) scalars += idx(x.rank);
  c->input_scalars = scalars;
  for (const auto& x : outputs) scalars += idx(x.rank);
  if (i.buffers.size() != 1 + inputs.size() + outputs.size() || i.scalars.size() != scalars) return damaged();
  for (size_t k = 1; k < i.buffers.size(); ++k) {
    const bool absent = k <= inputs.size() && inputs[k - 1].dtype == DType::kUndefined;
    if ((i.buffers[k] == kNone) != absent) return damaged();
  }
  const auto implementation = find_operator(domain, name);
  if (!implementation)
    return node_error(at, Code::kUnsupported,
                      ("this program has not registered the operator " + operator_name(domain, name) +
                       ": call lathe_register_operator, or load a library that has it (lathe_load_operators, "
                       "lathe.load_operators in Python, --ops on the command line) before a session is created")
                          .c_str());
  c->call = std::make_unique<OperatorCall>(c->described, *implementation, inputs.size(), outputs.size());
  size_t set = 0;
  for (size_t k = c->input_scalars; k < i.scalars.size(); ++k) {
    const SizeExpr& e = p.exprs[idx(i.scalars[k])];
    const auto symbol = e.kind == SizeExpr::Kind::kSymbol
                            ? std::find(i.defines.begin(), i.defines.end(), static_cast<int32_t>(e.value))
                            : i.defines.end();
    c->sets.push_back(symbol == i.defines.end() ? -1 : static_cast<int32_t>(symbol - i.defines.begin()));
    set += symbol != i.defines.end();
  }
  if (set != i.defines.size())
    return fail(Code::kDamaged, "damaged plan: instruction " + std::to_string(at) + " sets what is no size of its own");
  steps_[idx(at)].custom = static_cast<int32_t>(customs_.size());
  customs_.push_back(std::move(c));
  return {};
}

void Session::run_parts(lathe_operator_call* call, int64_t count, void (*task)(void*, int64_t, int64_t),
                        void* argument) {
  auto& c = *static_cast<Call*>(call->owner);
  if (count <= 0) return;
  if (!*c.team) c.team->emplace(c.session->threads_);
  Parts parts{task, argument};
  (*c.team)->parallel_for(
      count,
      [](void* p, int64_t, int64_t begin, int64_t end) {
        const auto& all = *static_cast<const Parts*>(p);
        all.task(all.argument, begin, end);
      },
      &parts);
}

Status Session::run_custom(int32_t at, Call& call) {
  const Plan& p = engine_->plan();
  const PlanInstr& i = p.instrs[idx(at)];
  const Step& step = steps_[idx(at)];
  Custom& c = *customs_[idx(step.custom)];
  const CustomOperator& described = c.described;
  const size_t first_output = 1 + described.inputs.size();  // before them the description, and the inputs
  const auto told = [&](Status s) -> Status {
    if (s) return s;
    return node_error(at, s.error().code, s.error().message.c_str());
  };
  const int64_t* dims = step.scalars;
  for (size_t k = 0; k < described.inputs.size(); ++k) {
    const CustomOperator::Operand& x = described.inputs[k];
    c.call->set_input(k, x.dtype, dims, idx(x.rank), step.bufs[1 + k]);
    dims += x.rank;
  }
  LATHE_CHECK(told(c.call->shape()));
  size_t at_dim = 0;
  for (size_t k = 0; k < described.outputs.size(); ++k) {
    const CustomOperator::Operand& wanted = described.outputs[k];
    const lathe_result& r = c.call->output(k);
    bool same = r.dtype == static_cast<lathe_dtype>(wanted.dtype) && r.rank == idx(wanted.rank);
    for (size_t d = 0; same && d < r.rank; ++d, ++at_dim) {
      const ExprId e = i.scalars[c.input_scalars + at_dim];
      if (r.dims[d] < 0)
        return node_error(at, Code::kFailed, "its shape function gives an output a negative size in a run");
      if (c.sets[at_dim] >= 0)
        defined_[idx(c.sets[at_dim])] = r.dims[d];
      else
        same = sizes_.known[idx(e)] && sizes_.value[idx(e)] == r.dims[d];
    }
    if (!same)
      return node_error(at, Code::kFailed,
                        ("its shape function says of output " + std::to_string(k) + " " +
                         std::string(dtype_name(static_cast<DType>(r.dtype))) + shape_format({r.dims, r.rank}) +
                         ", which is not what it said when the engine was built")
                            .c_str());
  }
  if (step.changes >= 0) LATHE_CHECK(told(define(at)));
  for (size_t k = 0; k < described.outputs.size(); ++k) {
    lathe_result& r = c.call->output(k);
    const auto bytes = c.call->output_bytes(k);
    r.data = step.bufs[first_output + k];
    if (!bytes || !r.data || *bytes > storage_[idx(i.buffers[first_output + k])].capacity) return not_ready(at);
    r.bytes = idx(*bytes);
  }
  return told(c.call->run(&Session::run_parts, &call));
}

}  // namespace lathe
