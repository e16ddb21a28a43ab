// SPDX-License-Identifier: Apache-2.0
// Only part of the shared library, which has its own copy of libstdc++: the usual handler prints the type of an
// uncaught exception and brings the whole demangler (50 KB) for it; nothing here throws.
#include <cstdlib>

namespace __gnu_cxx {
// NOLINTBEGIN(readability-identifier-naming): libstdc++'s name
void __verbose_terminate_handler();
void __verbose_terminate_handler() { std::abort(); }
// NOLINTEND(readability-identifier-naming)
}  // namespace __gnu_cxx
