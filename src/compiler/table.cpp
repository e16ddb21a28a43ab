// SPDX-License-Identifier: Apache-2.0
#include "compiler/table.h"

extern "C" __attribute__((visibility("default"))) const lathe::compiler::Table* lathe_compiler_table() {
  using namespace lathe::compiler;
  static constexpr Table kTable = {
      .size = sizeof(Table),
      .version = LATHE_VERSION,
      .build = &build,
      .cached_engine = &cached_engine,
      .export_timings = &export_timings,
      .import_timings = &import_timings,
      .targets = &targets,
      .graph_text = &graph_text,
      .convert = &convert,
      .quantize = &quantize,
  };
  return &kTable;
}
