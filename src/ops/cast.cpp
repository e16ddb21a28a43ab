// SPDX-License-Identifier: Apache-2.0
#include "ops/cast.h"

namespace lathe::ops {

const OpInfo& op_cast() { return op_info<Cast>(); }

}  // namespace lathe::ops
