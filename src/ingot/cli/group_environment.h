// What the environment says about the group of workers that this process belongs to.
#pragma once

#include <optional>
#include <string>

#include "ingot/train/trainer.h"

namespace ingot::cli {

// Rank and number of workers as torchrun, Open MPI, Slurm and PMI put them; the token, this
// machine's address and limits of time as Ingot's own variables do. Throws Error(kInvalidInput) for
// what is no number, Error(kUnsupported) where the transport ("": INGOT_TRANSPORT, else Gloo) is
// not there.
train::GroupRequest ReadGroupEnvironment(const std::string& transport = "");

// Opens the rendezvous of a group: "file:///DIR", a folder that all workers see, "tcp://HOST:PORT",
// where the first worker on HOST serves it, or "etcd://HOST:PORT/JOB"; and chooses, unless
// INGOT_HOST says it, the address at which the peers reach this machine. Throws
// Error(kInvalidInput) for another form.
void OpenRendezvous(const std::string& url, train::GroupRequest& group);

// The group of a process that torchrun, mpirun, srun or another launcher has started as one of
// several: with its rendezvous. None where it was started alone. Under mpirun MPI carries the
// tensors, if it is part of this build, and `out` becomes that of rank 0. Throws
// Error(kInvalidInput) where the environment does not say where the workers meet, Error(kIo) where
// MPI or PMI does not bring them together.
std::optional<train::GroupRequest> GroupOfEnvironment(std::string* out);

// The CPUs of this process where it shares the machine with others of the group, of which launchers
// say how many there are; all that it may use where it was bound to some of them.
int ShareOfCpus();

}  // namespace ingot::cli
