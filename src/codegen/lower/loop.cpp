// SPDX-License-Identifier: Apache-2.0
//     first values into the carried memory; number = 0, go = …
//   ┌►jump if not go ─────────────────────────┐
//   │ body                                    │
//   │ elements appended to the scan outputs   │
//   │ number + 1, go = …; carried values      │
//   └ jump                                    │
//     carried values that changed shape out ◄─┘
#include "ops/loop.h"

#include <algorithm>

#include "codegen/blocks.h"
#include "codegen/control.h"
#include "codegen/lower/lower.h"
#include "engine/kernel_abi.h"

namespace lathe::codegen {

namespace {

class LoopLowering {
 public:
  LoopLowering(Lowering& outer, const Node& node)
      : outer_(outer), node_(node), op_(*node.as<ops::Loop>()), body_(*op_.body), inner_(outer, body_) {}

  Status run() {
    number_ = outer_.temporary(8, DType::kI64);
    flag_ = outer_.temporary(1, DType::kBool);
    go_ = outer_.temporary(1, DType::kBool);
    inner_.bind(body_.inputs[0], number_);
    inner_.bind(body_.inputs[1], flag_);
    for (size_t i = 2; i < body_.inputs.size(); ++i) bind_input(i);
    for (size_t k = 0; k < op_.scan_count(); ++k) scans_.push_back(scan(k));
    LATHE_CHECK(start());
    std::vector<Move> moves;
    for (size_t k = 0; k < op_.carried_count(); ++k) {
      LATHE_TRY(moves.emplace_back(), move_into(outer_, node_.inputs[2 + k], inner_, body_.inputs[2 + k],
                                                inner_.buffer(body_.inputs[2 + k])));
    }
    LATHE_CHECK(lower_moves(outer_, node_, moves));

    const int32_t head = outer_.position();
    const int32_t end = outer_.jump_if_false(node_, go_);
    LATHE_CHECK(inner_.lower_nodes());
    LATHE_CHECK(turn());
    outer_.jump(node_, head);
    outer_.land(end);

    moves.clear();
    for (size_t k = 0; k < op_.carried_count(); ++k) {
      LATHE_TRY(moves.emplace_back(),
                move_into(inner_, body_.inputs[2 + k], outer_, node_.outputs[k], outer_.buffer(node_.outputs[k])));
    }
    return lower_moves(inner_, node_, moves);
  }

 private:
  struct Scan {
    ValueId element = kNoId, all = kNoId;
    BufferId sizes = kNone;       ///< of the first element, where they are not known outside
    bool counts = false;          ///< the length is a symbol that each element sets
    std::vector<size_t> defined;  ///< dimensions of the element that set symbols
  };

  void bind_input(size_t i) {
    std::set<size_t> varying;
    if (i - 2 < op_.carried_count()) {
      for (size_t d = 0; d < inner_.shape(body_.inputs[i]).size(); ++d)
        if (op_.varies(i - 2, d)) varying.insert(d);
      // A carried value of one shape lives where its last one is wanted.
      if (varying.empty()) inner_.bind(body_.inputs[i], outer_.buffer(node_.outputs[i - 2]));
    } else {
      inner_.bind(body_.inputs[i], outer_.buffer(node_.inputs[i]));
    }
    inner_.bind_sizes(body_.inputs[i], outer_, node_.inputs[i], varying);
  }

  Scan scan(size_t k) {
    Scan s;
    s.element = body_.outputs[1 + op_.carried_count() + k];
    s.all = node_.outputs[op_.carried_count() + k];
    const Shape &whole = outer_.shape(s.all), &part = inner_.shape(s.element);
    // The length is the number of iterations, which may be known (or a size set elsewhere), or is counted.
    const auto most = node_.inputs[0] == kNoId ? std::nullopt : content_of(outer_.graph.info(node_.inputs[0]));
    const std::string length = whole[0].symbol_name();
    s.counts = !length.empty() && outer_.sets(length) && !(most && most->size() == 1 && (*most)[0] == whole[0]);
    for (size_t d = 0; d < part.size(); ++d)
      if (!inner_.same_size(part[d], outer_, whole[d + 1]) && outer_.sets(whole[d + 1].symbol_name()))
        s.defined.push_back(d);
    if (!s.defined.empty()) s.sizes = outer_.temporary(8 * static_cast<int64_t>(s.defined.size()), DType::kI64);
    return s;
  }

  // number = 0, flag = the first condition, go = flag and there are iterations; nothing in the scan outputs yet.
  Status start() {
    Call call;
    call.buffers = {outer_.buffer(node_.inputs[0]), outer_.buffer(node_.inputs[1]), number_, flag_, go_};
    // What is written in the loop and read in a later turn is alive from here on.
    for (const Scan& s : scans_) {
      call.buffers.push_back(outer_.buffer(s.all));
      if (s.sizes != kNone) call.buffers.push_back(s.sizes);
      if (s.counts) add_symbol(call, outer_.shape(s.all)[0]);
      for (const size_t d : s.defined) add_symbol(call, outer_.shape(s.all)[d + 1]);
    }
    call.kernel = outer_.kernel("loop_start", {}, [&](Emitter& e) {
      e.store(DType::kI64, e.i64(0), e.buf(2));
      Val flag = call.buffers[1] == kNone ? e.b.getTrue() : e.load(DType::kBool, e.buf(1));
      Val go = flag;
      if (call.buffers[0] != kNone) go = e.b.CreateAnd(go, e.b.CreateICmpSGT(e.load(DType::kI64, e.buf(0)), e.i64(0)));
      e.store(DType::kBool, flag, e.buf(3));
      e.store(DType::kBool, go, e.buf(4));
      for (size_t i = 0; i < call.defines.size(); ++i) e.b.CreateStore(e.i64(0), e.symbol_slot(static_cast<int>(i)));
      e.ret();
    });
    call.tactic = "start";
    return outer_.call(node_, std::move(call));
  }

  // The end of a turn. Scan elements and what would be overwritten are read before anything is.
  Status turn() {
    for (const Scan& s : scans_) LATHE_CHECK(append(s));
    std::set<BufferId> changing{number_, flag_};
    for (size_t k = 0; k < op_.carried_count(); ++k) changing.insert(inner_.buffer(body_.inputs[2 + k]));
    std::vector<Move> saved, moves;
    for (size_t k = 0; k < op_.carried_count(); ++k) {
      const ValueId to = body_.inputs[2 + k];
      LATHE_TRY(Move m, move_into(inner_, body_.outputs[1 + k], inner_, to, inner_.buffer(to)));
      if (m.from == m.to) continue;
      if (changing.contains(inner_.root(m.from))) {
        Move first{m.from, inner_.temporary(m.bytes), m.bytes, m.bytes, {}};
        m.from = first.to;
        saved.push_back(std::move(first));
      }
      moves.push_back(std::move(m));
    }
    LATHE_CHECK(lower_moves(inner_, node_, saved));
    LATHE_CHECK(advance());
    return lower_moves(inner_, node_, moves);
  }

  Status advance() {
    const BufferId next = inner_.buffer(body_.outputs[0]);
    Call call;
    call.buffers = {outer_.buffer(node_.inputs[0]), next == flag_ ? kNone : next, number_, flag_, go_};
    call.kernel = inner_.kernel("loop_next", {}, [&](Emitter& e) {
      Val number = e.add(e.load(DType::kI64, e.buf(2)), e.i64(1));
      e.store(DType::kI64, number, e.buf(2));
      Val flag = e.load(DType::kBool, e.buf(next == flag_ ? 3 : 1));
      Val go = flag;
      if (call.buffers[0] != kNone) go = e.b.CreateAnd(go, e.b.CreateICmpSLT(number, e.load(DType::kI64, e.buf(0))));
      if (next != flag_) e.store(DType::kBool, flag, e.buf(3));
      e.store(DType::kBool, go, e.buf(4));
      e.ret();
    });
    call.tactic = "next";
    return inner_.call(label(node_), std::move(call));
  }

  // Element `number` of a scan output.
  Status append(const Scan& s) {
    const Shape &part = inner_.shape(s.element), &whole = outer_.shape(s.all);
    const DType type = inner_.dtype(s.element);
    LATHE_TRY(const int width, element_bytes(type));
    const BufferId all = outer_.buffer(s.all);
    const bool grows = (s.counts || !s.defined.empty()) && outer_.can_grow(all);
    const Dim bytes = product(part) * Dim(width);
    // Sizes that should be what is known outside, but are another expression.
    std::vector<std::pair<Dim, Dim>> checks;
    for (size_t d = 0; d < part.size(); ++d)
      if (std::ranges::find(s.defined, d) == s.defined.end() && !inner_.same_size(part[d], outer_, whole[d + 1]))
        checks.emplace_back(part[d], inner_.size_of(outer_, whole[d + 1]));
    Call call;
    call.buffers = {inner_.buffer(s.element), all, number_, s.sizes};
    std::vector<Dim> dims{bytes};
    for (const auto& [a, b] : checks) dims.insert(dims.end(), {a, b});
    for (const size_t d : s.defined) dims.push_back(part[d]);
    call.scalars = Lowering::symbolic(dims);
    if (s.counts) add_symbol(call, whole[0]);
    for (const size_t d : s.defined) add_symbol(call, whole[d + 1]);
    if (grows) call.grows = {all};
    call.kernel = inner_.kernel("append", call.scalars, [&](Emitter& e) {
      for (const auto& [a, b] : checks) e.fault_if(e.b.CreateICmpNE(e.dim(a), e.dim(b)), LATHE_FAULT_SHAPE);
      Val number = e.load(DType::kI64, e.buf(2));
      for (size_t i = 0; i < s.defined.size(); ++i) {
        Val size = e.dim(part[s.defined[i]]), place = e.at(e.buf(3), static_cast<int64_t>(8 * i));
        Val first = e.b.CreateICmpEQ(number, e.i64(0));
        e.store(DType::kI64, e.b.CreateSelect(first, size, e.load(DType::kI64, place)), place);
        e.fault_if(e.b.CreateICmpNE(e.load(DType::kI64, place), size), LATHE_FAULT_SHAPE);
      }
      Val size = e.dim(bytes), at = e.mul(number, size);
      Val to = grows ? e.grow(1, e.imax(e.add(at, size), e.i64(1))) : e.buf(1);
      if (grows) e.fault_if(e.b.CreateIsNull(to), LATHE_FAULT_MEMORY);
      emit_copy(e, e.at(to, at), e.buf(0), size, 1);
      int slot = 0;
      if (s.counts) e.b.CreateStore(e.add(number, e.i64(1)), e.symbol_slot(slot++));
      for (const size_t d : s.defined) e.b.CreateStore(e.dim(part[d]), e.symbol_slot(slot++));
      e.ret();
    });
    call.tactic = "append";
    return inner_.call(label(node_), std::move(call));
  }

  static void add_symbol(Call& call, const Dim& d) { call.defines.push_back(d.symbol_name()); }

  Lowering& outer_;
  const Node& node_;
  const ops::Loop& op_;
  const Graph& body_;
  Lowering inner_;
  BufferId number_ = kNone, flag_ = kNone, go_ = kNone;
  std::vector<Scan> scans_;
};

}  // namespace

Status lower_loop(Lowering& lowering, const Node& node) { return LoopLowering(lowering, node).run(); }

}  // namespace lathe::codegen
