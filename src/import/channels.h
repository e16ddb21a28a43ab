// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "import/builder.h"

namespace lathe::importer {

/// [N, C, spatial…] → [N, spatial…, C]; one spatial dimension is lifted to two (height 1). For weights alike.
ValueId to_channels_last(Builder& b, ValueId x);
/// The way back, to `rank` dimensions.
ValueId to_channels_first(Builder& b, ValueId y, int64_t rank);

}  // namespace lathe::importer
