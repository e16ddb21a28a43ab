// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codegen/contraction.h"
#include "codegen/integer.h"
#include "codegen/pack.h"

namespace lathe::codegen {

/// Convolutions whose groups are narrower than a vector (depthwise above all): a vector holds neighbouring output
/// channels of several groups, so that all lanes work.
///
///     out[x … x+rows, channels] += w[tap][j][channels] * spread_j(a[x * stride + tap, channels of these groups])
///
/// where spread_j gives every lane the j-th input channel of its group (nothing to do for depthwise). A tile is `rows`
/// positions of a line; an input vector is loaded once for all taps that use it. Channels are the innermost loop, so
/// that memory is read in order; the last vector overlaps the one before it rather than being masked.
bool channelwise_fits(const Target& target, const Contraction& c);

/// Adds the call for `node`; the weights (constant) are packed at build time. Small integers are read as they are and
/// widened in registers, their weights have 16 bits.
Status call_channelwise(Lowering& lowering, const Node& node, const Contraction& c, const PackSource& source,
                        const Products& products, BufferId bias);

/// Transcendental functions expand to dozens of instructions each: an epilogue with them is kept in a loop.
bool is_long_epilogue(const Program& p);
/// Instructions for one vector of sums, about.
double epilogue_work(const Program& p);

}  // namespace lathe::codegen
