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

// The second worker knows more than the first, which led for `led` steps, has written.
struct TwoLeads {
  explicit TwoLeads(int64_t led) {
    first.Open(path, 0);
    AddAll(first, 0, led);
    AddAll(second, 0, 5);
    second.Open(path, 5);
  }

  const TestFolder folder;
  const std::string path = folder.path() + "/samples.jsonl";
  SampleLedger first, second;
};

TEST(SampleLedgerTest, TheNextLeadAddsWhatTheFileLacks) {
  TwoLeads leads(3);
  AddAll(leads.second, 5, 7);
  EXPECT_EQ(ReadFile(leads.path), Lines(7));
}

// One that led is stopped before it writes a line, the first of all or a later one, and goes on
// when others lead.
TEST(SampleLedgerTest, ALineThatComesLateGoesNowhere) {
  for (const int64_t led : {0, 3}) {
    TwoLeads leads(led);
    leads.first.Add(led, Line(led));
    AddAll(leads.second, 5, 7);
    EXPECT_EQ(ReadFile(leads.path), Lines(7)) << led;
  }
}

// One that led is cut off, and the others rewrite the file; they take up the state from it after
// all.
TEST(SampleLedgerTest, WhatWentNowhereComesWithTheState) {
  TwoLeads leads(5);
  AddAll(leads.first, 5, 8);
  EXPECT_EQ(ReadFile(leads.path), Lines(5));
  leads.second.SetRecent(leads.first.recent());
  leads.second.Open(leads.path, 8);
  AddAll(leads.second, 8, 9);
  EXPECT_EQ(ReadFile(leads.path), Lines(9));
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

// One that was stopped while it took over, and wakes when another leads.
TEST(SampleLedgerTest, WithoutItsFolderAWriterReplacesNothing) {
  const TestFolder folder;
  const std::string path = folder / "samples.jsonl";
  WriteTestFile(path, Lines(9));
  SampleLedger late;
  AddAll(late, 0, 4);
  EXPECT_THROW(late.Open(path, 4, folder / ".writer-late"), Error);
  EXPECT_EQ(ReadFile(path), Lines(9));
  RealFileSystem().CreateDirectories(folder / ".writer-next");
  late.Open(path, 4, folder / ".writer-next");
  EXPECT_EQ(ReadFile(path), Lines(4));
}

}  // namespace
}  // namespace ingot::train
