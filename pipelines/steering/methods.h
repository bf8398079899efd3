// Rows of the table of steering methods, one file each; names and descriptions stand in ../builtin.cpp.
#pragma once

#include "pipelines/steering/steering.h"

namespace thalweg {

SteeringRow best_of_n_row(const char* name, const char* doc);
SteeringRow fk_row(const char* name, const char* doc);
SteeringRow svdd_row(const char* name, const char* doc);
SteeringRow das_row(const char* name, const char* doc);
SteeringRow guided_smc_row(const char* name, const char* doc);
SteeringRow flow_nrg_row(const char* name, const char* doc);
SteeringRow dps_row(const char* name, const char* doc);
SteeringRow mpgd_row(const char* name, const char* doc);
SteeringRow spsa_row(const char* name, const char* doc);
SteeringRow euphonium_row(const char* name, const char* doc);
SteeringRow doob_row(const char* name, const char* doc);

}  // namespace thalweg
