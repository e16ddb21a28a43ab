// SPDX-License-Identifier: Apache-2.0
// What a model remembers from one run to the next: variables with handles, and tensors that are marked as variable.
#include "import/tflite/handlers.h"
#include "import/tflite/importer.h"

namespace lathe::tflite {

namespace {

std::unexpected<Error> in_branch() {
  return unsupported("variables within branches and loops whose condition depends on data are not supported");
}

}  // namespace

// LiteRT begins with zeros, which for 8-bit integers are the zero point.
Result<size_t> Importer::state_of(const fb::Tensor& t) {
  if (const auto known = state_tensors_.find(&t); known != state_tensors_.end()) return known->second;
  if (graph_ != model_graph_.get()) return in_branch();
  LATHE_TRY(const DType type, dtype_of(t));
  LATHE_TRY(const auto dims, dims_of(t));
  if (!importer::checked_bytes(type, dims, options_.max_tensor_bytes))
    return damaged("tensor \"" + name_of(t) + "\" has an impossible size");
  Tensor initial = Tensor::zeros(type, dims);
  if (const Quantization* q = quantization(t); q && type == DType::kI8)
    for (int64_t i = 0; i < initial.count(); ++i) initial.set_i64(i, q->zero_point());
  const size_t state = states_.add(name_of(t), std::move(initial), used_names_);
  state_tensors_.emplace(&t, state);
  return state;
}

Status Importer::set_state(const fb::Tensor& t, ValueId value) {
  if (!t.is_variable()) return damaged("tensor \"" + name_of(t) + "\" is to keep state and not marked as variable");
  LATHE_TRY(const size_t state, state_of(t));
  states_.set(state, value);
  return {};
}

// A handle is the variable's number as a constant, so that it passes through subgraphs as any other value.
Result<ValueId> Importer::variable(const std::string& name) {
  const auto [at, fresh] = variable_index_.emplace(name, variables_.size());
  if (fresh) variables_.push_back({name, {}, {}, kNoId});
  return builder_->i64(static_cast<int64_t>(at->second));
}

Result<Importer::Variable*> Importer::variable_of(ValueId handle) {
  const Tensor* t = handle == kNoId ? nullptr : builder_->constant_of(handle);
  if (!t || t->count() != 1 || t->i64_at(0) < 0 || t->i64_at(0) >= static_cast<int64_t>(variables_.size()))
    return damaged("its first input is no variable");
  if (graph_ != model_graph_.get()) return in_branch();
  return &variables_[static_cast<size_t>(t->i64_at(0))];
}

Result<ValueId> Importer::read(ValueId handle) {
  LATHE_TRY(Variable * v, variable_of(handle));
  if (v->assigned != kNoId) return v->assigned;
  if (!v->state) {
    if (!v->initial)
      return unsupported("variable \"" + v->name + "\" is read before anything sets it; give it an initializer");
    v->state = states_.add(v->name, *v->initial, used_names_);
  }
  return states_.value(*v->state);
}

Status Importer::assign(ValueId handle, ValueId value) {
  LATHE_TRY(Variable * v, variable_of(handle));
  if (initializing_) {
    const Tensor* t = builder_->constant_of(value);
    if (!t) return unsupported("variable \"" + v->name + "\" begins with what is not constant");
    v->initial = *t;
  } else if (v->state) {
    states_.set(*v->state, value);
  } else if (v->initial) {
    v->state = states_.add(v->name, *v->initial, used_names_);
    states_.set(*v->state, value);
  } else {
    v->assigned = value;  // set by every run before it is read: no state
  }
  return {};
}

Status Importer::initialize(int64_t index) {
  if (graph_ != model_graph_.get()) return in_branch();
  const bool before = std::exchange(initializing_, true);
  const auto done = inline_subgraph(index, {});
  initializing_ = before;
  return done ? Status() : std::unexpected(done.error());
}

Result<Values> call_once(Node& n) {
  const auto* o = n.options<fb::CallOnceOptions>();
  if (!o) return damaged("it has no subgraph");
  LATHE_CHECK(n.importer().initialize(o->init_subgraph()));
  return Values{};
}

Result<Values> var_handle(Node& n) {
  const auto* o = n.options<fb::VarHandleOptions>();
  if (!o) return damaged("it has no name");
  const auto text = [](const flatbuffers::String* s) { return s ? s->str() : std::string(); };
  const std::string container = text(o->container());
  LATHE_TRY(const ValueId handle,
            n.importer().variable((container.empty() ? "" : container + "/") + text(o->shared_name())));
  return n.done(handle);
}

Result<Values> read_variable(Node& n) {
  LATHE_TRY(const ValueId value, n.importer().read(n.in(0)));
  return n.done(value);
}

Result<Values> assign_variable(Node& n) {
  if (!n.has(1)) return damaged("there is no value to assign");
  LATHE_CHECK(n.importer().assign(n.in(0), n.in(1)));
  return Values{};
}

}  // namespace lathe::tflite
