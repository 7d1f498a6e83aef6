// The ledger of samples over workers that lead one after the other.
#include "ingot/train/sample_ledger.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "ingot/base/file.h"
#include "ingot/base/test_folder.h"

namespace ingot::train {
namespace {

std::string Line(int64_t step) {
  return "{\"step\": " + std::to_string(step) + "}";
}

std::string Lines(int64_t end) {
  std::string lines;
  for (int64_t step = 0; step < end; ++step) lines += Line(step) + '\n';
  return lines;
}

void AddAll(SampleLedger& ledger, int64_t begin, int64_t end) {
  for (int64_t step = begin; step < end; ++step) ledger.Add(step, Line(step));
}

TEST(SampleLedgerTest, TheNextLeadAddsWhatTheFileLacks) {
  const TestFolder folder;
  const std::string path = folder.path() + "/samples.jsonl";
  SampleLedger first;
  SampleLedger second;
  first.Open(path, 0);
  AddAll(first, 0, 3);
  AddAll(second, 0, 5);
  second.Open(path, 5);
  AddAll(second, 5, 7);
  EXPECT_EQ(ReadFile(path), Lines(7));
}

// One that led is stopped before it writes a line, and goes on when others lead.
TEST(SampleLedgerTest, ALineThatComesLateGoesNowhere) {
  const TestFolder folder;
  const std::string path = folder.path() + "/samples.jsonl";
  SampleLedger first;
  SampleLedger second;
  first.Open(path, 0);
  AddAll(first, 0, 3);
  AddAll(second, 0, 5);
  second.Open(path, 5);
  first.Add(3, Line(3));
  AddAll(second, 5, 7);
  EXPECT_EQ(ReadFile(path), Lines(7));
}

TEST(SampleLedgerTest, LinesThatCameLateAreDropped) {
  const TestFolder folder;
  const std::string path = folder.path() + "/samples.jsonl";
  std::ofstream(path, std::ios::binary) << Lines(5) << Line(3) << '\n'
                                        << Line(4) << '\n'
                                        << Line(5) << '\n'
                                        << Line(6) << '\n';
  SampleLedger ledger;
  AddAll(ledger, 0, 6);
  ledger.Open(path, 6);
  EXPECT_EQ(ReadFile(path), Lines(6));
}

}  // namespace
}  // namespace ingot::train
