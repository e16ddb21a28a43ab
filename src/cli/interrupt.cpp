// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <csignal>

namespace lathe::cli {
namespace {

volatile std::sig_atomic_t flag = 0;

void on_signal(int) { flag = 1; }

void install() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() { install(); }

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool interrupted() { return flag != 0; }

bool take_interrupt() {
  if (!interrupted()) return false;
  flag = 0;
  install();
  return true;
}

}  // namespace lathe::cli
