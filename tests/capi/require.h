/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LATHE_TESTS_CAPI_REQUIRE_H
#define LATHE_TESTS_CAPI_REQUIRE_H

/* Goes to `done` with the number of the line in `line`, unless the condition holds. */
#define REQUIRE(condition) \
  do {                     \
    if (!(condition)) {    \
      line = __LINE__;     \
      goto done;           \
    }                      \
  } while (0)

#endif
