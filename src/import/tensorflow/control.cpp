// SPDX-License-Identifier: Apache-2.0
// Functions, variables, branches, loops and lists. Functions are inlined; a branch is chosen and a loop is unrolled
// while the graph is imported, where its condition is known then.
#include "import/tensorflow/handlers.h"
#include "import/tensorflow/importer.h"

namespace lathe::tensorflow {

namespace {

constexpr int kMaxUnrolled = 512;

std::string_view function_of(const Node& n, std::string_view attribute) {
  const auto* a = n.attr(attribute);
  return a && a->kind == proto::Attr::Kind::kFunction ? a->s : std::string_view();
}

// What a condition is: a truth value, or a number that is not zero.
std::optional<bool> truth(const Node& n, const Item& i) {
  if (i.kind != Item::Kind::kTensor) return std::nullopt;
  const Tensor* t = n.b.constant_of(i.value);
  if (!t || t->dtype() == DType::kString || t->count() != 1) return std::nullopt;
  return t->f64_at(0) != 0;
}

}  // namespace

Result<Items> call(Node& n) { return n.importer().call(function_of(n, "f"), n.items(), n.def().name); }

// If, StatelessIf: then_branch, else_branch. Case: branches.
Result<Items> branch(Node& n) {
  LATHE_CHECK(n.needs(1));
  const Items arguments(n.items().begin() + 1, n.items().end());
  if (n.canonical() == "case") {
    const auto* branches = n.attr("branches");
    if (!branches || branches->strings.empty()) return damaged("there are no branches");
    LATHE_TRY(const int64_t i, n.integer(0, "the number of the branch"));
    const auto count = static_cast<int64_t>(branches->strings.size());
    const auto chosen = static_cast<size_t>(i < 0 || i >= count ? count - 1 : i);
    return n.importer().call(branches->strings[chosen], arguments, n.def().name);
  }
  const auto condition = truth(n, n.item(0));
  if (!condition) return unsupported("a condition that depends on inputs is not supported yet");
  return n.importer().call(function_of(n, *condition ? "then_branch" : "else_branch"), arguments, n.def().name);
}

Result<Items> loop(Node& n) {
  Items state = n.items();
  for (int i = 0;; ++i) {
    LATHE_TRY(const Items condition, n.importer().call(function_of(n, "cond"), state, n.def().name));
    if (condition.size() != 1) return damaged("the condition must be one value");
    if (condition[0].kind == Item::Kind::kFailed) return unsupported({});  // listed already
    const auto go_on = truth(n, condition[0]);
    if (!go_on)
      return unsupported("a loop whose length depends on inputs is not supported yet; give the shapes with --shape");
    if (!*go_on) return state;
    if (i == kMaxUnrolled)
      return unsupported("a loop of more than " + std::to_string(kMaxUnrolled) + " steps is not supported yet");
    LATHE_TRY(Items next, n.importer().call(function_of(n, "body"), state, n.def().name));
    if (next.size() != state.size()) return damaged("the body of a loop must return what it takes");
    for (const Item& s : next)
      if (s.kind == Item::Kind::kFailed) return unsupported({});
    state = std::move(next);
  }
}

Result<Items> variable(Node& n) {
  LATHE_TRY(const Item handle, n.importer().variable(n));
  if (n.op() == "VarHandleOp") return Items{handle};
  LATHE_TRY(const Item value, n.importer().read(handle));  // of TensorFlow 1: the value itself
  return Items{value};
}

// ReadVariableOp, and ResourceGather, which reads and gathers.
Result<Items> read_variable(Node& n) {
  LATHE_CHECK(n.needs(1));
  LATHE_TRY(const Item value, n.importer().read(n.item(0)));
  if (n.op() == "ReadVariableOp") return Items{value};
  Items inputs = n.items();
  inputs[0] = value;
  Node inner(n.def(), {}, std::move(inputs), n.b, n.importer());
  return gather(inner);
}

Result<Items> assign_variable(Node& n) {
  LATHE_CHECK(n.needs(2));
  Item value = n.item(1);
  if (n.op() != "AssignVariableOp") {
    LATHE_TRY(const Item old, n.importer().read(n.item(0)));
    value = n.b.op(n.op() == "AssignSubVariableOp" ? "Sub" : "Add", {old.value, value.value});
  }
  LATHE_CHECK(n.importer().assign(n.item(0), value));
  return n.done(Items{});
}

namespace {

// The shape that an integer tensor describes, if its elements are known.
std::optional<Shape> described(const Node& n, size_t i) {
  const auto c = n.in(i) == kNoId ? std::nullopt : content_of(n.b.info(n.in(i)));
  if (!c) return std::nullopt;
  for (const Dim& d : *c)
    if (d.is_const() && d.value() < 0) return std::nullopt;
  return *c;
}

Item of(std::shared_ptr<const TensorList> list) {
  Item i;
  i.kind = Item::Kind::kList;
  i.list = std::move(list);
  return i;
}

Result<std::shared_ptr<TensorList>> copied(const Node& n, size_t i) {
  const Item& item = n.item(i);
  if (item.kind != Item::Kind::kList) return damaged("input " + std::to_string(i) + " is not a list");
  return std::make_shared<TensorList>(*item.list);
}

constexpr int64_t kMaxElements = 65536;

}  // namespace

// The operators of TensorList, which TensorArrays are, too.
Result<Items> list(Node& n) {
  const std::string_view op = n.op();
  const auto index = [&](const TensorList& l, size_t i) -> Result<size_t> {
    LATHE_TRY(const int64_t k, n.integer(i, "the index into a list"));
    if (k < 0 || k >= static_cast<int64_t>(l.elements.size())) return damaged("an index is out of range of its list");
    return static_cast<size_t>(k);
  };
  if (op == "TensorListReserve" || op == "EmptyTensorList") {
    LATHE_CHECK(n.needs(2));
    auto l = std::make_shared<TensorList>();
    LATHE_TRY(l->dtype, n.type("element_dtype"));
    l->element = described(n, 0);
    if (op == "TensorListReserve") {
      LATHE_TRY(const int64_t count, n.integer(1, "the length of a list"));
      if (count < 0 || count > kMaxElements)
        return unsupported("lists of " + std::to_string(count) + " tensors are not supported");
      l->elements.resize(static_cast<size_t>(count));
    }
    return Items{of(std::move(l))};
  }
  if (op == "TensorListFromTensor") {
    LATHE_CHECK(n.needs(1));
    if (n.item(0).kind != Item::Kind::kTensor || n.rank(0) < 1) return unsupported("takes a tensor of rank 1 at least");
    const auto count = n.shape(0)[0].as_const();
    if (!count || *count > kMaxElements)
      return unsupported("a list of " + n.shape(0)[0].str() +
                         " tensors is not supported; give the shapes with --shape");
    auto l = std::make_shared<TensorList>();
    l->dtype = n.dtype(0);
    Shape rest = n.shape(0);
    rest.erase(rest.begin());
    l->element = rest;
    for (int64_t i = 0; i < *count; ++i) l->elements.emplace_back(n.b.reshape(n.b.slice(n.in(0), 0, i, i + 1), rest));
    return n.done(Items{of(std::move(l))});
  }
  LATHE_TRY(const auto l, copied(n, 0));
  if (op == "TensorListLength") return n.done(n.b.cast(n.b.i64(static_cast<int64_t>(l->elements.size())), DType::kI32));
  if (op == "TensorListSetItem") {
    LATHE_CHECK(n.needs(3));
    LATHE_TRY(const size_t i, index(*l, 1));
    l->elements[i] = n.item(2);
    return Items{of(l)};
  }
  if (op == "TensorListPushBack") {
    LATHE_CHECK(n.needs(2));
    if (static_cast<int64_t>(l->elements.size()) >= kMaxElements) return unsupported("the list becomes too long");
    l->elements.push_back(n.item(1));
    return Items{of(l)};
  }
  const auto element = [&](size_t i) -> Result<Item> {
    const Item& e = l->elements[i];
    if (e.kind != Item::Kind::kNone) return e;
    if (!l->element || !is_static(*l->element)) return unsupported("element " + std::to_string(i) + " was never set");
    return Item(n.b.constant(Tensor::zeros(l->dtype, *static_dims(*l->element))));
  };
  if (op == "TensorListGetItem") {
    LATHE_CHECK(n.needs(2));
    LATHE_TRY(const size_t i, index(*l, 1));
    LATHE_TRY(const Item e, element(i));
    return n.done(Items{e});
  }
  // TensorListStack
  if (l->elements.empty()) return unsupported("an empty list is stacked");
  std::vector<ValueId> parts;
  for (size_t i = 0; i < l->elements.size(); ++i) {
    LATHE_TRY(const Item e, element(i));
    if (e.kind != Item::Kind::kTensor) return unsupported("lists of other things than tensors are not supported");
    Shape s = n.b.shape(e.value);
    s.insert(s.begin(), Dim(1));
    parts.push_back(n.b.reshape(e.value, s));
  }
  return n.done(parts.size() == 1 ? parts[0] : n.b.concat(std::move(parts), 0));
}

// Lookups in tables, and operators on strings.
Result<Items> no_strings(Node& n) {
  return unsupported(n.canonical() == "table"
                         ? "lookup tables are not supported; look words up before, and give the model their numbers"
                         : "operators on strings are not supported");
}

}  // namespace lathe::tensorflow
