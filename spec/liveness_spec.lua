--- A process of the job that dies or stands still is an error in all others, soon, with its name.
local jobs = require "support.jobs"

-- Worker 0 of each process says that it is at work, then all read and write each other's rows for ever.
local endless = [[
  local epact = require "epact"
  local jobs = require "support.jobs"
  epact.run({ workers = 2, staleness = %s, lease = 2 }, function(w)
    local jobs = require "support.jobs"
    local beta = w:table("beta", { rows = 12, cols = 4 })
    for clock = 1, math.huge do
      for row = 0, 11 do beta:get(row) end
      beta:inc(w.id, 0, 1)
      w:clock()
      if clock == 20 and w.index == 0 then jobs.ready() end
    end
  end)
]]

local function lose(rank, signal, staleness, seconds)
  return jobs.run(endless:format(staleness or 0), { processes = 3, transport = rank == 0 and "tcp" or "ipc",
    ready = 3, signal = signal, signalled = { rank }, seconds = seconds or 30 })
end

describe("a process that is killed", function()
  for rank = 0, 2 do
    it(("is named by all others within seconds: rank %d"):format(rank), function()
      local results, seconds = lose(rank, "KILL", rank)
      assert.equal(137, results[rank].code)
      for other = 0, 2 do
        if other ~= rank then
          assert.equal(1, results[other].code, results[other].errors)
          local named = ("rank %d was lost %%(workers %d .. %d, last heard of at clock %%d+%%): "):format(rank,
            2 * rank, 2 * rank + 1)
          assert.matches(named, results[other].errors)
          assert.matches("%[E_LOST%]", results[other].errors)
        end
      end
      if jobs.timed then assert.is_true(seconds < 5, tostring(seconds)) end
    end)
  end

  it("is told with what was being waited for", function()
    local results = lose(2, "KILL")
    assert.matches("while waiting for table 'beta' at ", results[0].errors .. results[1].errors)
  end)
end)

describe("a process that stands still", function()
  it("is lost when its lease has run out", function()
    local results = lose(2, "STOP", 1, 10)
    for other = 0, 1 do
      assert.equal(1, results[other].code, results[other].errors)
      assert.matches("rank 2 was lost %(workers 4 .. 5, .-%): its last sign of life came [%d.]+ s ago",
        results[other].errors)
    end
  end)
end)

describe("a process whose shard has not told that a last batch is applied", function()
  it("is missed by those that have finished", function()
    local results = jobs.run([[
      local epact = require "epact"
      epact.run({ workers = 1, staleness = math.huge, servers = 1, lease = 60 }, function(w)
        local ffi = require "ffi"
        local jobs = require "support.jobs"
        ffi.cdef "int getpid(void); int kill(int, int);"
        local t = w:table("t", { rows = 2, cols = 1 })
        if w.rank == 0 then t:inc(0, 0, ffi.C.getpid()) end
        w:barrier()
        if w.rank == 0 then
          repeat w:clock() until t:get(1)[0] > 0
          ffi.C.kill(ffi.C.getpid(), 19) -- SIGSTOP, for good
        end
        local status, state = ("/proc/%d/stat"):format(tonumber(t:get(0)[0]))
        t:inc(1, 0, 1)
        w:clock()
        repeat
          local file = assert(io.open(status))
          state = file:read("*a"):match "%) (%S)"
          file:close()
        until state == "T"
        t:inc(1, 0, 1)
        jobs.ready()
      end)
    ]], { processes = 2, signal = "KILL", signalled = { 0 }, seconds = 20 })
    assert.equal(137, results[0].code)
    assert.equal(1, results[1].code, results[1].errors)
    assert.matches("rank 0 was lost .-its connection closed .-%[E_LOST%]", results[1].errors)
  end)
end)

describe("jobs of processes without a shard, one after another", function()
  it("end at once: nobody sends words of farewell to who has left, and waits for them to arrive", function()
    local results, seconds = jobs.run([[
      local epact = require "epact"
      for job = 1, 8 do
        epact.run({ workers = 1, servers = 1 }, function(w)
          local t = w:table("t", { rows = 3, cols = 1 })
          for _ = 1, 3 do
            for row = 0, 2 do t:inc(row, 0, 1) end
            w:clock()
          end
          t:get(0)
        end)
      end
    ]], { processes = 3, transport = "tcp", seconds = 60 })
    for rank = 0, 2 do assert.equal("", results[rank].errors) end
    if jobs.timed then assert.is_true(seconds < 8, ("took %g s"):format(seconds)) end -- 1 s on two idle cores
  end)
end)

describe("a process that computes for longer than the lease", function()
  it("is not lost: signs of life do not come from the workers' threads", function()
    local results = jobs.run([[
      print((require "epact".run({ workers = 1, lease = 2 }, function(w)
        local t = w:table("t", { rows = 1, cols = 1 })
        if w.rank == 1 then
          local C = require "epact.core".C
          local begin = C.epact_now()
          while C.epact_now() - begin < 4.5 do end
        end
        t:inc(0, 0, 1)
        w:barrier()
        return t:cell(0, 0)
      end)))]], { processes = 2 })
    for rank = 0, 1 do
      assert.equal(0, results[rank].code, results[rank].errors)
      assert.equal("2\n", results[rank].output)
    end
  end)
end)
