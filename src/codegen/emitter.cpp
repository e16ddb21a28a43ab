// SPDX-License-Identifier: Apache-2.0
#include "codegen/emitter.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <cassert>

#include "engine/kernel_abi.h"

namespace lathe::codegen {

namespace {

using llvm::Intrinsic::ID;

bool all_ones(Val mask) {
  const auto* c = llvm::dyn_cast_or_null<llvm::Constant>(mask);
  return mask == nullptr || (c && c->isAllOnesValue());
}

}  // namespace

Emitter::Emitter(const Target& t, const std::string& name, std::vector<Dim> scalars)
    : target(t),
      context(std::make_unique<llvm::LLVMContext>()),
      module(std::make_unique<llvm::Module>(name, *context)),
      b(*context),
      scalars_(std::move(scalars)) {
  module->setTargetTriple(std::string(t.triple));
  auto* p = b.getPtrTy();
  auto* i = b.getInt64Ty();
  function = llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), {p, p, p, i, i}, false),
                                    llvm::Function::ExternalLinkage, name, *module);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  function->addFnAttr("target-cpu", std::string(t.cpu));
  function->addFnAttr("target-features", std::string(t.features));
  function->addFnAttr("prefer-vector-width", std::to_string(t.vector_bits));
  function->addFnAttr("min-legal-vector-width", std::to_string(t.vector_bits));
  function->addFnAttr("no-trapping-math", "true");
  function->addFnAttr("no-builtins");
  for (unsigned a = 0; a < 3; ++a) function->addParamAttr(a, llvm::Attribute::NoAlias);
  entry_block_ = llvm::BasicBlock::Create(*context, "entry", function);
  body_block_ = llvm::BasicBlock::Create(*context, "body", function);
  b.SetInsertPoint(body_block_);
  llvm::FastMathFlags fast;
  fast.setAllowContract(true);
  b.setFastMathFlags(fast);
}

Val Emitter::entry(const std::function<Val()>& make) {
  llvm::IRBuilder<>::InsertPointGuard guard(b);
  b.SetInsertPoint(entry_block_);
  return make();
}

Val Emitter::buf(int i) {
  const auto n = static_cast<size_t>(i);
  if (bufs_.size() <= n) bufs_.resize(n + 1, nullptr);
  if (!bufs_[n])
    bufs_[n] = entry([&]() -> Val {
      auto* load = b.CreateLoad(b.getPtrTy(), b.CreateConstGEP1_64(b.getPtrTy(), function->getArg(1), n));
      load->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(*context, {}));
      return load;
    });
  return bufs_[n];
}

Val Emitter::scratch() {
  if (!scratch_)
    scratch_ = entry([&]() -> Val {
      return b.CreateLoad(b.getPtrTy(), b.CreateConstGEP1_64(b.getInt8Ty(), function->getArg(0), 8));
    });
  return scratch_;
}

Val Emitter::dim(const Dim& d) {
  if (d.is_const()) return i64(d.value());
  scalar_values_.resize(scalars_.size(), nullptr);
  for (size_t k = 0; k < scalars_.size(); ++k)
    if (scalars_[k] == d) {
      if (!scalar_values_[k])
        scalar_values_[k] = entry([&]() -> Val {
          return b.CreateLoad(b.getInt64Ty(), b.CreateConstGEP1_64(b.getInt64Ty(), function->getArg(2), k));
        });
      return scalar_values_[k];
    }
  // An expression of dimensions that are scalars: computed in place from its terms.
  Val sum = i64(0);
  for (const auto& t : d.terms()) {
    Val p = i64(t.coefficient);
    for (const auto& a : t.atoms) {
      Val f = nullptr;
      if (a->kind == Dim::AtomKind::kSymbol) {
        const Dim symbol = Dim::symbol(a->key);
        assert(std::find(scalars_.begin(), scalars_.end(), symbol) != scalars_.end() && "kernel lacks this scalar");
        f = dim(symbol);
      } else {
        Val x = dim(a->args[0]), y = dim(a->args[1]);
        switch (a->kind) {
          case Dim::AtomKind::kFloorDiv:
            f = div(x, y);
            break;
          case Dim::AtomKind::kMod:
            f = rem(x, y);
            break;
          case Dim::AtomKind::kMin:
            f = imin(x, y);
            break;
          default:
            f = imax(x, y);
            break;
        }
      }
      p = mul(p, f);
    }
    sum = add(sum, p);
  }
  return sum;
}

Val Emitter::symbol_slot(int i) {
  Val symbols = b.CreateLoad(b.getPtrTy(), b.CreateConstGEP1_64(b.getInt8Ty(), function->getArg(0), 16));
  return at(symbols, int64_t{8} * i);
}

Val Emitter::grow(int buffer, Val bytes) {
  auto* p = b.getPtrTy();
  auto* type = llvm::FunctionType::get(p, {p, b.getInt64Ty(), b.getInt64Ty()}, false);
  Val callee = b.CreateLoad(p, b.CreateConstGEP1_64(b.getInt8Ty(), function->getArg(0), 24));
  return b.CreateCall(type, callee, {function->getArg(0), i64(buffer), bytes});
}

void Emitter::fault_if(Val condition, int code) {
  auto* bad = llvm::BasicBlock::Create(*context, "fault", function);
  auto* good = llvm::BasicBlock::Create(*context, "ok", function);
  b.CreateCondBr(condition, bad, good);
  b.SetInsertPoint(bad);
  Val slot = b.CreateLoad(b.getPtrTy(), b.CreateConstGEP1_64(b.getInt8Ty(), function->getArg(0), 40));
  b.CreateStore(i64(code), slot);
  b.CreateRetVoid();
  b.SetInsertPoint(good);
}

llvm::Type* Emitter::type(DType t) {
  if (t == DType::kBool) return b.getInt1Ty();
  return memory_type(t);
}

llvm::Type* Emitter::memory_type(DType t) {
  switch (t) {
    case DType::kF32:
      return b.getFloatTy();
    case DType::kF64:
      return b.getDoubleTy();
    case DType::kF16:
      return b.getHalfTy();
    case DType::kBF16:
      return b.getInt16Ty();  // as bits: LLVM would call a library to round
    default:
      return b.getIntNTy(static_cast<unsigned>(std::max(8, dtype_bits(t))));
  }
}

Val Emitter::constant(DType t, double v, int n) {
  return dtype_info(t).is_float ? splat(llvm::ConstantFP::get(type(t), v), n)
                                : constant_int(t, static_cast<int64_t>(v), n);
}

Val Emitter::constant_int(DType t, int64_t v, int n) {
  if (dtype_info(t).is_float) return constant(t, static_cast<double>(v), n);
  return splat(llvm::ConstantInt::get(type(t), static_cast<uint64_t>(v), true), n);
}

Val Emitter::load(DType t, Val p, int n, Val mask) {
  auto* memory = memory_type(t);
  auto* as = n == 1 ? memory : static_cast<llvm::Type*>(llvm::FixedVectorType::get(memory, static_cast<unsigned>(n)));
  const llvm::Align align(static_cast<uint64_t>(std::max(1, dtype_bits(t) / 8)));
  Val v = nullptr;
  if (n == 1 || all_ones(mask)) {
    v = b.CreateAlignedLoad(as, p, align);
  } else if (wants_lanes(t, mask)) {
    v = llvm::PoisonValue::get(as);
    for (int i = 0; i < n; ++i)
      v = b.CreateInsertElement(
          v, b.CreateAlignedLoad(memory, lane_or(mask, i, at(p, int64_t{i} * dtype_bits(t) / 8), zeros()), align),
          static_cast<uint64_t>(i));
  } else {
    v = b.CreateMaskedLoad(as, p, align, mask, llvm::Constant::getNullValue(as));
  }
  return t == DType::kBool ? b.CreateICmpNE(v, llvm::Constant::getNullValue(as)) : v;
}

Val Emitter::load_aligned(DType t, Val p, int n, int alignment) {
  auto* as = n == 1 ? memory_type(t)
                    : static_cast<llvm::Type*>(llvm::FixedVectorType::get(memory_type(t), static_cast<unsigned>(n)));
  return b.CreateAlignedLoad(as, p, llvm::Align(static_cast<uint64_t>(alignment)));
}

void Emitter::store(DType t, Val v, Val p, Val mask) {
  if (t == DType::kBool) {
    llvm::Type* i8 = b.getInt8Ty();
    if (auto* vt = llvm::dyn_cast<llvm::FixedVectorType>(v->getType()))
      i8 = llvm::FixedVectorType::get(i8, vt->getNumElements());
    v = b.CreateZExt(v, i8);
  }
  const llvm::Align align(static_cast<uint64_t>(std::max(1, dtype_bits(t) / 8)));
  const auto* vt = llvm::dyn_cast<llvm::FixedVectorType>(v->getType());
  if (!vt || all_ones(mask)) {
    b.CreateAlignedStore(v, p, align);
  } else if (wants_lanes(t, mask)) {
    if (!dump_) dump_ = alloca_bytes(8);
    for (int i = 0; i < static_cast<int>(vt->getNumElements()); ++i)
      b.CreateAlignedStore(b.CreateExtractElement(v, static_cast<uint64_t>(i)),
                           lane_or(mask, i, at(p, int64_t{i} * dtype_bits(t) / 8), dump_), align);
  } else {
    b.CreateMaskedStore(v, p, align, mask);
  }
}

// LLVM would branch around each lane. A mask that is known costs nothing: it names the lanes.
bool Emitter::wants_lanes(DType t, Val mask) const {
  const bool masked = target.masked_access && (dtype_bits(t) >= 32 || target.vector_bits >= 512);
  return !masked && !llvm::isa<llvm::Constant>(mask);
}

Val Emitter::lane_or(Val mask, int lane, Val there, Val otherwise) {
  return b.CreateSelect(b.CreateExtractElement(mask, static_cast<uint64_t>(lane)), there, otherwise);
}

Val Emitter::zeros() {
  if (!zeros_)
    zeros_ = entry([&]() -> Val {
      auto* a = b.CreateAlloca(b.getInt64Ty());
      b.CreateStore(i64(0), a);
      return a;
    });
  return zeros_;
}

Val Emitter::alloca_bytes(int64_t bytes) {
  return entry([&]() -> Val {
    auto* a = b.CreateAlloca(b.getInt8Ty(), i64(bytes));
    a->setAlignment(llvm::Align(64));
    return a;
  });
}

void Emitter::prefetch(Val p, int locality) {
  b.CreateIntrinsic(llvm::Intrinsic::prefetch, {b.getPtrTy()},
                    {p, b.getInt32(0), b.getInt32(static_cast<uint32_t>(locality)), b.getInt32(1)});
}

Val Emitter::lane_mask(Val count, int n) {
  if (const auto* c = llvm::dyn_cast<llvm::ConstantInt>(count)) {
    std::vector<llvm::Constant*> bits;
    for (int i = 0; i < n; ++i) bits.push_back(b.getInt1(i < c->getSExtValue()));
    return llvm::ConstantVector::get(bits);
  }
  std::vector<llvm::Constant*> ids;
  for (int i = 0; i < n; ++i) ids.push_back(b.getInt32(static_cast<uint32_t>(i)));
  Val limit = b.CreateTrunc(imin(count, i64(n)), b.getInt32Ty());
  return b.CreateICmpSLT(llvm::ConstantVector::get(ids), splat(limit, n));
}

namespace {

bool is_number(Val v) {
  const auto* c = llvm::dyn_cast<llvm::Constant>(v);
  const auto* f =
      c ? llvm::dyn_cast_or_null<llvm::ConstantFP>(c->getType()->isVectorTy() ? c->getSplatValue() : c) : nullptr;
  return f && !f->isNaN();
}

// x86 has no maximum that propagates NaN. Where one side is a number, a compare-and-select that yields the other side
// on an unordered compare is one instruction; else a NaN x is put back by a second select.
Val extremum(Emitter& e, llvm::CmpInst::Predicate better, Val x, Val y) {
  if (is_number(x)) std::swap(x, y);
  if (is_number(y)) return e.b.CreateSelect(e.b.CreateFCmp(better, y, x), y, x);
  Val m = e.b.CreateSelect(e.b.CreateFCmp(better, x, y), x, y);
  return e.b.CreateSelect(e.b.CreateFCmpUNO(x, x), x, m);
}

}  // namespace

Val Emitter::fmax(Val x, Val y) { return extremum(*this, llvm::CmpInst::FCMP_OGT, x, y); }
Val Emitter::fmin(Val x, Val y) { return extremum(*this, llvm::CmpInst::FCMP_OLT, x, y); }

namespace {

// Halves the vector until one lane is left, so that the order of operations does not depend on the target's whims.
template <class F>
Val reduce_lanes(Emitter& e, Val v, F f) {
  auto* vt = llvm::dyn_cast<llvm::FixedVectorType>(v->getType());
  if (!vt) return v;
  unsigned n = vt->getNumElements();
  while (n > 1) {
    const unsigned half = n / 2;
    std::vector<int> low, high;
    for (unsigned i = 0; i < half; ++i) {
      low.push_back(static_cast<int>(i));
      high.push_back(static_cast<int>(i + half));
    }
    Val r = f(e.b.CreateShuffleVector(v, low), e.b.CreateShuffleVector(v, high));
    if (n % 2) {  // an odd lane joins the first one
      Val odd = e.b.CreateExtractElement(v, n - 1);
      Val first = e.b.CreateExtractElement(r, uint64_t{0});
      r = e.b.CreateInsertElement(r, f(first, odd), uint64_t{0});
    }
    v = r;
    n = half;
  }
  return e.b.CreateExtractElement(v, uint64_t{0});
}

}  // namespace

Val Emitter::reduce_add(Val v) {
  return reduce_lanes(*this, v, [&](Val x, Val y) {
    return x->getType()->isFPOrFPVectorTy() ? b.CreateFAdd(x, y) : b.CreateAdd(x, y);
  });
}

Val Emitter::reduce_max(Val v) {
  return reduce_lanes(*this, v, [&](Val x, Val y) { return fmax(x, y); });
}

Vals Emitter::loop(Val lo, Val hi, int64_t step, Vals init, const std::function<Vals(Val, const Vals&)>& body) {
  const auto* clo = llvm::dyn_cast<llvm::ConstantInt>(lo);
  const auto* chi = llvm::dyn_cast<llvm::ConstantInt>(hi);
  const bool known = clo && chi;
  if (known && clo->getSExtValue() >= chi->getSExtValue()) return init;
  if (known && clo->getSExtValue() + step >= chi->getSExtValue()) return body(lo, init);
  auto* before = b.GetInsertBlock();
  auto* head = llvm::BasicBlock::Create(*context, "loop", function);
  auto* after = llvm::BasicBlock::Create(*context, "after", function);
  if (known)
    b.CreateBr(head);
  else
    b.CreateCondBr(b.CreateICmpSLT(lo, hi), head, after);
  b.SetInsertPoint(head);
  auto* index = b.CreatePHI(b.getInt64Ty(), 2);
  index->addIncoming(lo, before);
  std::vector<llvm::PHINode*> phis;
  Vals carried;
  for (Val v : init) {
    auto* phi = b.CreatePHI(v->getType(), 2);
    phi->addIncoming(v, before);
    phis.push_back(phi);
    carried.push_back(phi);
  }
  const Vals next = body(index, carried);
  Val next_index = b.CreateNSWAdd(index, i64(step));
  auto* tail = b.GetInsertBlock();
  b.CreateCondBr(b.CreateICmpSLT(next_index, hi), head, after);
  index->addIncoming(next_index, tail);
  for (size_t i = 0; i < phis.size(); ++i) phis[i]->addIncoming(next[i], tail);
  b.SetInsertPoint(after);
  if (known) return next;
  Vals result;
  for (size_t i = 0; i < next.size(); ++i) {
    auto* phi = b.CreatePHI(next[i]->getType(), 2);
    phi->addIncoming(init[i], before);
    phi->addIncoming(next[i], tail);
    result.push_back(phi);
  }
  return result;
}

void Emitter::for_each(Val lo, Val hi, int64_t step, const std::function<void(Val)>& body) {
  loop(lo, hi, step, {}, [&](Val i, const Vals&) {
    body(i);
    return Vals{};
  });
}

void Emitter::for_vectors(Val count, int width, const std::function<void(Val, int, Val)>& body) {
  Val whole = b.CreateAnd(count, i64(-static_cast<int64_t>(width)));
  if (width > 1)
    for_each(i64(0), whole, width, [&](Val i) { body(i, width, nullptr); });
  else
    whole = i64(0);
  if (const auto* c = llvm::dyn_cast<llvm::ConstantInt>(count); c && width > 1 && c->getSExtValue() % width == 0)
    return;
  if (target.masked_access && width > 1)
    if_then(b.CreateICmpSLT(whole, count), [&] { body(whole, width, lane_mask(sub(count, whole), width)); });
  else
    for_each(whole, count, 1, [&](Val i) { body(i, 1, nullptr); });
}

void Emitter::if_then(Val condition, const std::function<void()>& then) {
  if (const auto* c = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
    if (c->isOne()) then();
    return;
  }
  auto* yes = llvm::BasicBlock::Create(*context, "then", function);
  auto* after = llvm::BasicBlock::Create(*context, "endif", function);
  b.CreateCondBr(condition, yes, after);
  b.SetInsertPoint(yes);
  then();
  b.CreateBr(after);
  b.SetInsertPoint(after);
}

Vals Emitter::if_else(Val condition, const std::function<Vals()>& then, const std::function<Vals()>& otherwise) {
  if (const auto* c = llvm::dyn_cast<llvm::ConstantInt>(condition)) return c->isOne() ? then() : otherwise();
  auto* yes = llvm::BasicBlock::Create(*context, "then", function);
  auto* no = llvm::BasicBlock::Create(*context, "else", function);
  auto* after = llvm::BasicBlock::Create(*context, "endif", function);
  b.CreateCondBr(condition, yes, no);
  b.SetInsertPoint(yes);
  const Vals x = then();
  auto* yes_end = b.GetInsertBlock();
  b.CreateBr(after);
  b.SetInsertPoint(no);
  const Vals y = otherwise();
  auto* no_end = b.GetInsertBlock();
  b.CreateBr(after);
  b.SetInsertPoint(after);
  Vals result;
  for (size_t i = 0; i < x.size(); ++i) {
    auto* phi = b.CreatePHI(x[i]->getType(), 2);
    phi->addIncoming(x[i], yes_end);
    phi->addIncoming(y[i], no_end);
    result.push_back(phi);
  }
  return result;
}

void Emitter::ret() {
  b.CreateRetVoid();
  llvm::IRBuilder<>::InsertPointGuard guard(b);
  b.SetInsertPoint(entry_block_);
  b.CreateBr(body_block_);
}

}  // namespace lathe::codegen
