--- Jobs under a real Slurm.
local process = require "support.process"
local slurm = require "support.slurm"

-- Worker 0 of rank 2 ends its process when all have met; the others go on until they hear of it.
local killed = [[
  local epact = require "epact"
  epact.run({ workers = 1 }, function(w)
    local t = w:table("t", { rows = 1, cols = 1 })
    w:barrier()
    if w.id == 2 then os.execute "kill -9 $PPID" end
    while true do
      t:get(0)
      w:clock()
    end
  end)]]

local sum = [[
  print(os.getenv "SLURM_PROCID", (require "epact".run({ workers = 2 }, function(w)
    local t = w:table("t", { rows = 1, cols = 1 })
    t:inc(0, 0, 10 ^ w.id)
    w:barrier()
    return t:cell(0, 0)
  end)))]]

describe("under Slurm #cluster", function()
  local cluster
  setup(function() cluster = slurm.start() end)
  teardown(function() if cluster then cluster.stop() end end)

  local function srun(text, options)
    local script = cluster.folder .. "/script.lua"
    local file = assert(io.open(script, "w"))
    file:write(text)
    file:close()
    return cluster.run(("srun -Q %s luajit %s"):format(options, script))
  end

  it("srun on four nodes is one job, with the root on the first of them", function()
    local output, code = srun(sum, "-n4 -N4")
    assert.equal(0, code, output)
    for rank = 0, 3 do assert.matches(rank .. "\t11111111\n", output, 1, true) end
    output, code = srun([[
      local place = require "epact.cluster".place()
      print(place.rank .. "/" .. place.size .. " " .. place.root)]], "-n2 -N2 -w 127.0.0.[3-4]")
    assert.equal(0, code, output)
    assert.matches("0/2 tcp://127%.0%.0%.3:2%d%d%d%d\n", output)
    assert.matches("1/2 tcp://127%.0%.0%.3:2%d%d%d%d\n", output)
  end)

  it("several tasks on one node need no port", function()
    local output, code = srun(sum, "-n2 -N1")
    assert.equal(0, code, output)
    assert.matches("1\t1111\n", output, 1, true)
    output = srun([[print(require "epact.cluster".place().root)]], "-n2 -N1")
    assert.matches("^ipc://", output)
  end)

  it("a rank that is killed is named by all others", function()
    local output, code = srun(killed, "-n4 -N4 --kill-on-bad-exit=0 --label")
    assert.equal(137, code, output)
    for rank = 0, 3 do
      local named = ("\n" .. output):find("\n" .. rank .. ": [^\n]*rank 2 was lost")
      assert.equal(rank ~= 2, named ~= nil, output)
    end
  end)

  it("sbatch runs the example of a job", function()
    local output, code = cluster.run(([[
      sbatch --wait --cpus-per-task=1 --output=%s/job.out examples/cluster/job.sbatch --epochs 1 --factors 2
      status=$?; cat %s/job.out; exit $status]]):format(cluster.folder, cluster.folder), 60)
    assert.equal(0, code, output)
    assert.matches("2972 users, 1128 items, .* ratings; 2 factors, 1 workers", output)
    assert.matches("0: biases and 2 factors +%d+%.%d+ +%d+%.%d+\n", output)
    for rank = 0, 3 do assert.matches(rank .. ": 2972 users", output, 1, true) end
    assert.is_nil(output:find("1: biases", 1, true)) -- one job, whose first worker reports
  end)

  it("mpirun inside a batch job takes its ranks, not the batch script's", function()
    local script = process.temporary([[#!/bin/sh
      mpirun --allow-run-as-root --oversubscribe -n 2 luajit -e 'local p = require "epact.cluster".place()
        print(p.rank .. "/" .. p.size)']])
    local output, code = cluster.run(("sbatch --wait -N1 -n1 --output=%s/mpi.out %s; cat %s/mpi.out"):format(
      cluster.folder, script, cluster.folder), 60)
    os.remove(script)
    assert.equal(0, code, output)
    assert.matches("0/2\n", output, 1, true)
    assert.matches("1/2\n", output, 1, true)
  end)
end)
