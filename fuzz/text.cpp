// SPDX-License-Identifier: Apache-2.0
// The parser of the IR's text form on arbitrary bytes: what it accepts prints to a text that it accepts again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "ir/graph.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lathe;
  const auto graph = parse_graph({reinterpret_cast<const char*>(data), size});
  if (!graph) return 0;
  const std::string text = print(**graph);
  if (const auto again = parse_graph(text); !again) {
    std::fprintf(stderr, "%s\n%s\n", again.error().message.c_str(), text.c_str());
    std::abort();
  }
  return 0;
}
