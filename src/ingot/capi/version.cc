// The version of the library, for the C interface.
#include <ingot/c_api.h>

extern "C" const char* ingot_version(void) {
  return "0.1.0";  // as CMakeLists.txt has it (tests/install compares them)
}
