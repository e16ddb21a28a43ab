// SPDX-License-Identifier: Apache-2.0
#include "runtime/operators.h"

#include <dlfcn.h>
#include <pthread.h>

#include <cstring>
#include <memory>

#include "engine/operator_call.h"

namespace lathe {
namespace {

struct Registered {
  std::string domain, name;
  lathe_operator op;
  void set(lathe_operator given) {
    op = given;
    op.domain = domain.c_str();
    op.name = name.c_str();
  }
};

/// pthread's mutex: that of the standard library brings a dozen kilobytes of its errors with it.
struct Lock {
  pthread_mutex_t& mutex;
  explicit Lock(pthread_mutex_t& m) : mutex(m) { pthread_mutex_lock(&mutex); }
  ~Lock() { pthread_mutex_unlock(&mutex); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
};

struct Registry {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  std::vector<std::unique_ptr<Registered>> all;  // names are pointed to: they stay where they are
};

/// Never destroyed: threads may make sessions while the process ends.
Registry& registry() {
  static Registry* const r = new Registry;
  return *r;
}

/// A struct of the caller's as this version knows it.
Result<lathe_operator> checked(const lathe_operator& given) {
  lathe_operator op{};
  std::memcpy(&op, &given, given.size < sizeof op ? given.size : sizeof op);
  if (!op.domain || !op.name || !*op.name) return fail(Code::kUsage, "an operator needs a domain and a name");
  if (!op.shape || !op.run)
    return fail(Code::kUsage, operator_name(op.domain, op.name) + " needs a shape function and a run function");
  return op;
}

}  // namespace

Status register_operator(const lathe_operator& given) {
  LATHE_TRY(const lathe_operator op, checked(given));
  Registry& r = registry();
  const Lock lock(r.mutex);
  for (const auto& known : r.all)
    if (known->domain == op.domain && known->name == op.name) {
      known->set(op);
      return {};
    }
  r.all.push_back(std::unique_ptr<Registered>(new Registered{op.domain, op.name, {}}));
  r.all.back()->set(op);
  return {};
}

std::optional<lathe_operator> find_operator(std::string_view domain, std::string_view name) {
  Registry& r = registry();
  const Lock lock(r.mutex);
  for (const auto& known : r.all)
    if (known->domain == domain && known->name == name) return known->op;
  return std::nullopt;
}

Result<std::vector<const lathe_operator*>> load_operators(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* const why = dlerror();
    return fail(Code::kFailed, "cannot load operators: " + std::string(why ? why : path.c_str()));
  }
  const auto list = reinterpret_cast<lathe_operators_function>(dlsym(library, "lathe_operators"));
  const lathe_operator* const* ops = list ? list() : nullptr;
  if (!ops)
    return fail(Code::kUsage, path + " exports no list of operators: a function lathe_operators, as lathe.h says");
  std::vector<const lathe_operator*> found;
  for (; *ops; ++ops) found.push_back(*ops);
  for (const lathe_operator* op : found)
    if (const auto good = checked(*op); !good) return fail(good.error().code, path + ": " + good.error().message);
  for (const lathe_operator* op : found) LATHE_CHECK(register_operator(*op));
  return found;
}

}  // namespace lathe
