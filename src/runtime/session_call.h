// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "runtime/session.h"
#include "runtime/thread_pool.h"

namespace lathe {

/// One instruction's call: what the threads that work on it share.
struct Session::Call {
  Session* session;
  std::optional<Team>* team;  ///< of the run; claimed by the first instruction that is worth it
  const Step* step = nullptr;
  int32_t at = 0;
  int64_t fault = LATHE_FAULT_NONE;
  std::optional<Error> error;  ///< of grow()
};

}  // namespace lathe
