// What the environment says about the group of workers that this process belongs to.
#pragma once

#include <optional>
#include <string>

#include "ingot/train/trainer.h"

namespace ingot::cli {

// Rank and number of workers as torchrun, Open MPI, Slurm and PMI put them; the token, this
// machine's address and limits of time as Ingot's own variables do. Throws Error(kInvalidInput) for
// what is no number.
train::GroupRequest ReadGroupEnvironment();

// Opens the rendezvous of a group: "file:///DIR", a folder that all workers see, or
// "tcp://HOST:PORT", where the first worker on HOST serves it; and chooses, unless INGOT_HOST says
// it, the address at which the peers reach this machine. Throws Error(kInvalidInput) for another
// form.
void OpenRendezvous(const std::string& url, train::GroupRequest& group);

// The group of a process that torchrun, mpirun, srun or another launcher has started as one of
// several: with its rendezvous. None where it was started alone. Throws Error(kInvalidInput) where
// the environment does not say where the workers meet.
std::optional<train::GroupRequest> GroupOfEnvironment();

}  // namespace ingot::cli
