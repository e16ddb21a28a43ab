// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "import/import.h"
#include "onnx_model.h"
#include "tflite_model.h"

namespace tflite_model {

/// Imports TFLite files made in memory.
class ImportTest : public ::testing::Test {
 protected:
  onnx_model::TempFolder folder;
  lathe::Result<std::unique_ptr<lathe::Graph>> import(const std::string& content,
                                                      const lathe::ImportOptions& options = {}) {
    return lathe::import_model(folder.write("m.tflite", content), options);
  }
  void expect_error(const std::string& content, lathe::Code code, const std::string& text,
                    const lathe::ImportOptions& options = {}) {
    const auto g = import(content, options);
    ASSERT_FALSE(g.has_value());
    EXPECT_EQ(static_cast<int>(g.error().code), static_cast<int>(code)) << g.error().message;
    EXPECT_NE(g.error().message.find(text), std::string::npos) << g.error().message;
  }
};

}  // namespace tflite_model
