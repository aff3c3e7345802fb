-- Jobs of several processes, started as a shell or Slurm would start them.
local jobs = require "support.jobs"

local head = 'local epact, jobs = require "epact", require "support.jobs"\n'

--- Runs the script `body` as `given.processes` (2) processes.
local function run(body, given)
  given = given or {}
  given.processes = given.processes or 2
  return jobs.run(head .. body, given)
end

local function assert_clean(results, processes)
  for rank = 0, processes - 1 do
    assert.equal("", results[rank].errors)
    assert.equal(0, results[rank].code)
  end
end

describe("processes of one job", function()
  local sum = [[
    local sum = epact.run({ workers = %d }, function(w)
      local dense = w:table("dense", { rows = 7, cols = 3, type = "i64" })
      local hash = w:table("hash", { cols = 50, sparse = true })
      for row = 0, 6 do
        dense:inc(row, w.id %% 3, row + w.id)
        hash:inc(row * 12345678901, w.id, 0.5)
      end
      w:barrier()
      local total = 0
      dense:fetch()
      for row = 0, 6 do
        for col = 0, 2 do total = total + dense:cell(row, col) end
        for _, value in hash:get(row * 12345678901):each() do total = total + value end
      end
      return total
    end)
    print(sum)
  ]]

  for _, transport in ipairs { "ipc", "tcp" } do
    for _, place in ipairs { { 2, 3 }, { 3, 2 }, { 6, 1 } } do
      it(("%d x %d over %s see each other's increments"):format(place[1], place[2], transport), function()
        local results = run(sum:format(place[2]), { processes = place[1], transport = transport })
        assert_clean(results, place[1])
        for rank = 0, place[1] - 1 do assert.equal(6 * 21 + 7 * 15 + 7 * 6 / 2, tonumber(results[rank].output)) end
      end)
    end
  end

  it("may have different numbers of workers, numbered through", function()
    local results = run [[
      local rank = tonumber(os.getenv "EPACT_RANK")
      local _, report = epact.run({ workers = rank + 1 }, function(w)
        return ("%d of %d, rank %d of %d"):format(w.id, w.workers, w.rank, w.size)
      end)
      for i = 0, rank do print(report.results[i][1]) end
    ]]
    assert_clean(results, 2)
    assert.equal("0 of 3, rank 0 of 2\n", results[0].output)
    assert.equal("1 of 3, rank 1 of 2\n2 of 3, rank 1 of 2\n", results[1].output)
  end)

  it("run job after job, silently", function()
    local results = run([[
      for job = 1, 5 do
        io.write(epact.run({ workers = 2 }, function(w)
          local t = w:table("t", { rows = 4, cols = 1 })
          for _ = 1, 3 do
            t:inc(w.id, 0, job)
            w:clock()
          end
          w:barrier()
          return t:cell(w.workers - 1, 0)
        end), " ")
      end
    ]], { transport = "tcp" })
    assert_clean(results, 2)
    assert.equal("3 6 9 12 15 ", results[0].output)
    assert.equal("3 6 9 12 15 ", results[1].output)
  end)

  it("start together however late one comes, and lose no early frame", function()
    for _ = 1, 5 do -- a process may hear from a peer before it hears from rank 0 who the peers are
      local results = run([[
        print((epact.run({ workers = 1, timeout = 10 }, function(w)
          local t = w:table("t", { rows = 8, cols = 1 })
          t:inc(w.id, 0, 1)
          w:clock()
          return t:cell((w.id + 1) % 8, 0)
        end)))
      ]], { processes = 8 })
      assert_clean(results, 8)
      for rank = 0, 7 do assert.equal("1\n", results[rank].output) end
    end
  end)

  it("end at once, although each is the last to hear from another", function()
    local results, seconds = run([[
      epact.run({ workers = 1 }, function(w)
        local t = w:table("t", { rows = 4, cols = 1000 })
        for row = 0, 3 do t:inc(row, w.id, 1) end
      end)
    ]], { processes = 4 })
    assert_clean(results, 4)
    if jobs.timed then assert.is_true(seconds < 2, tostring(seconds)) end
  end)

  it("let a worker, or all of a process, leave early", function()
    local results = run [[
      print((epact.run({ workers = 2, timeout = 20 }, function(w)
        local t = w:table("t", { rows = 2, cols = 1 })
        if w.rank == 1 then return "left" end
        for _ = 1, 30 do
          t:inc(w.id, 0, 1)
          w:clock()
          t:get(0)
          t:get(1)
        end
        w:barrier()
        return t:cell(0, 0) + t:cell(1, 0)
      end)))
    ]]
    assert_clean(results, 2)
    assert.same({ "60\n", "left\n" }, { results[0].output, results[1].output })
  end)

  it("keep tables in a pool between phases", function()
    local results = run [[
      local pool = epact.start { workers = 2 }
      for phase = 1, 3 do
        print((pool:each(function(w)
          local t = w:table("t", { rows = 1, cols = 1 })
          t:inc(0, 0, phase)
          w:barrier()
          local sum = t:cell(0, 0)
          w:barrier() -- the other process must not begin its next phase before
          return sum
        end)))
      end
      print(pool)
      pool:close()
    ]]
    assert_clean(results, 2)
    assert.equal("4\n12\n24\nepact.pool <2 workers, staleness 0, rank 1 of 2, ready>\n", results[1].output)
  end)

  it("may run jobs of their own inside a worker", function()
    local results = run [[
      print((epact.run({ workers = 1 }, function(w)
        local inner = require "epact"
        local sum = inner.run({ workers = 2 }, function(v)
          local t = v:table("t", { rows = 1, cols = 1 })
          t:inc(0, 0, 1)
          v:barrier()
          return t:cell(0, 0) + v.size
        end)
        w:barrier()
        return sum
      end)))
    ]]
    assert_clean(results, 2)
    assert.same({ "3\n", "3\n" }, { results[0].output, results[1].output })
  end)
end)

describe("a failure in one process", function()
  it("stops the others at once, with its message and its traceback", function()
    for guilty = 0, 1 do
      local results, seconds = run(([[
        epact.run({ workers = 2 }, function(w)
          local t = w:table("t", { rows = 2, cols = 1 })
          if w.rank == %d and w.index == 1 then error "broken" end
          while true do
            t:inc(w.rank, 0, 1)
            w:clock()
            t:get(0)
            t:get(1)
          end
        end)
      ]]):format(guilty))
      for rank = 0, 1 do
        assert.equal(1, results[rank].code)
        assert.matches(("worker %d %%(rank %d%%): .-script%%.lua:4: broken\nstack traceback:\n\t.-script%%.lua:4: in")
          :format(2 * guilty + 1, guilty), results[rank].errors)
      end
      if jobs.timed then assert.is_true(seconds < 1.5, tostring(seconds)) end
    end
  end)

  it("that comes with its last increments stops the others too", function()
    local results = run [[
      epact.run({ workers = 1, timeout = 20 }, function(w)
        local t = w:table("t", { rows = 2, cols = 1 })
        w:barrier()
        for row = 0, w.id * 2 - 1 do
          t:inc(row, 0, 1e308)
          t:inc(row, 0, 1e308)
        end
      end)
    ]]
    for rank = 0, 1 do
      assert.equal(1, results[rank].code)
      assert.matches("table 't': the increment of row %d, column 0 is inf %[E_NONFINITE%]", results[rank].errors)
    end
  end)

  it("of shape is told with both shapes", function()
    local results = run [[
      epact.run({ workers = 1 }, function(w)
        w:table("t", { rows = 2, cols = 1 + w.id })
        w:barrier()
      end)
    ]]
    for rank = 0, 1 do
      assert.equal(1, results[rank].code)
      assert.matches("table 't' is 2 x [12] f64 dense, not 2 x [12] f64 dense %[E_SCHEMA%]", results[rank].errors)
    end
  end)

  it("of shape leaves nothing behind: the table can be opened as it is", function()
    local results = run [[
      local sum = epact.run({ workers = 1, timeout = 20 }, function(w)
        local first = w.id == 0 and w:table("t", { rows = 4, cols = 1, push = true })
        w:barrier()
        if w.id == 1 then
          local ok, message = pcall(w.table, w, "t", { rows = 4, cols = 3, push = true })
          assert(not ok and message:find("E_SCHEMA", 1, true), message)
        end
        local t = first or w:table("t", { rows = 4, cols = 1, push = true })
        for row = 0, 3 do t:inc(row, 0, 10 * row + w.id) end
        w:clock()
        w:barrier()
        local sum = 0
        for row = 0, 3 do sum = sum + t:get(row)[0] end
        assert(sum == 124, sum)
        return sum
      end)
      print(sum)
    ]]
    for rank = 0, 1 do
      assert.equal("", results[rank].errors)
      assert.equal(0, results[rank].code)
    end
    assert.equal("124\n", results[0].output)
  end)

  it("that killed it is a timeout that names it", function()
    local results = run([[
      jobs.together()
      epact.run({ workers = 1, timeout = 0.8 }, function(w) -- after a second its connection is lost
        if w.id == 1 then
          require "support.jobs".ready()
          while true do end
        end
        w:barrier()
      end)
    ]], { signal = "KILL", signalled = { 1 }, together = true })
    assert.equal(137, results[1].code)
    assert.equal(1, results[0].code)
    assert.matches("barrier: waited 0%.8 s for .*rank 1.* %[E_TIMEOUT%]", results[0].errors)
  end)
end)

describe("Ctrl-C in one process", function()
  local loops = {
    ["that waits"] = "if w.rank == 0 then w:barrier() end while true do end",
    ["that computes without a call"] = "if w.rank == 1 then w:barrier() end while true do end",
    ["while all are busy with clocks"] = "while true do w:clock() t:get(0) end",
  }
  for name, loop in pairs(loops) do
    it(name .. " ends all", function()
      local results, seconds = run(([[
        epact.run({ workers = 2 }, function(w)
          local t = w:table("t", { rows = 2, cols = 1 })
          require "support.jobs".ready()
          %s
        end)
      ]]):format(loop), { signal = "INT", ready = 4 })
      for rank = 0, 1 do
        assert.equal(1, results[rank].code)
        assert.matches("interrupted %[E_INTERRUPTED%]", results[rank].errors)
      end
      if jobs.timed then assert.is_true(seconds < 1.5, tostring(seconds)) end
    end)
  end

  it("that waits for others to come ends it", function()
    local results, seconds = run([[
      jobs.ready()
      if os.getenv "EPACT_RANK" == "1" then return end
      epact.run({ workers = 1 }, print)
    ]], { signal = "INT", ready = 2 })
    assert.equal(1, results[0].code)
    assert.matches("interrupted", results[0].errors)
    if jobs.timed then assert.is_true(seconds < 1.5, tostring(seconds)) end
  end)
end)

describe("a process that does not come", function()
  it("is named when the others have waited long enough", function()
    local body = [[
      jobs.together()
      if os.getenv "EPACT_RANK" == "%d" then return end
      epact.run({ workers = 1, timeout = 2 }, print)
    ]]
    local results, seconds = run(body:format(2), { processes = 3, transport = "tcp", together = true })
    assert.same({ 1, 1, 0 }, { results[0].code, results[1].code, results[2].code })
    assert.matches("epact.run: waited 2 s at tcp://127%.0%.0%.1:%d+ for rank 2 to register %[E_TIMEOUT%]",
      results[0].errors)
    -- Its own patience ends, or rank 0 calls the job off first.
    assert.matches("epact.run: .-waited 2 s .-at tcp://127", results[1].errors)
    if jobs.timed then assert.is_true(seconds < 4, tostring(seconds)) end

    results = run(body:format(0), { together = true })
    assert.matches("epact.run: rank 1 waited 2 s for rank 0 at ipc", results[1].errors)
  end)
end)

describe("the environment", function()
  local function refused(environment)
    local results = jobs.run(head .. [[
      local values = {]] .. environment .. [[}
      local getenv = os.getenv
      os.getenv = function(name) return values[name] or getenv(name) end
      epact.run({ workers = 1 }, function() print "ran" end)
    ]])
    return results[0].output .. (results[0].errors:match "^luajit: [^:]*:%d+: ([^\n]*)" or results[0].errors)
  end

  it("of a job of one process may be left alone", function()
    assert.equal("ran\n", refused "")
    assert.equal("ran\n", refused "EPACT_SIZE = '1'")
  end)

  it("must be complete and consistent", function()
    assert.equal("EPACT_SIZE is 2 but EPACT_RANK is not set", refused "EPACT_SIZE = '2'")
    assert.equal("EPACT_SIZE must be an integer >= 0, got \"two\"", refused "EPACT_SIZE = 'two'")
    assert.equal("EPACT_RANK is 2 but EPACT_SIZE is 2", refused "EPACT_SIZE = '2', EPACT_RANK = '2'")
    assert.matches("^EPACT_SIZE says 2 processes but EPACT_ROOT %(the address of rank 0, .*%) is not set$",
      refused "EPACT_SIZE = '2', EPACT_RANK = '0'")
    for _, root in ipairs { "tcp://node7", "udp://node7:1", "tcp://a:0", "tcp://a:b:1", "tcp://[::1:5", "ipc://" } do
      assert.equal("epact.run: the root address must be tcp://HOST:PORT or ipc://PATH, got " .. root,
        refused("EPACT_SIZE = '2', EPACT_RANK = '0', EPACT_ROOT = '" .. root .. "'"))
    end
  end)
end)
