// A loop over the pool.
#include "ingot/data/damaged_records.h"

#include "ingot/base/machine.h"
#include "ingot/base/thread_pool.h"

namespace ingot::data {

std::vector<std::optional<Error>> FindDamaged(
    size_t records, size_t bytes, const std::function<void(size_t record, void* out)>& read) {
  std::vector<std::optional<Error>> errors(records);
  ThreadPool pool(static_cast<size_t>(AvailableCpus() - 1));
  pool.ParallelFor(records, [&](size_t i) {
    std::vector<std::byte> out(bytes);
    try {
      read(i, out.data());
    } catch (const Error& error) {
      // What is wrong with the job is as wrong as before when the record is left out.
      if (!IsDamage(error)) throw;
      errors[i] = error;
    }
  });
  return errors;
}

}  // namespace ingot::data
