-- Jobs of one process: errors and signals stop them at once, pools keep workers and tables, nothing leaks.
local epact = require "epact"
local jobs = require "support.jobs"

--- The message of the error of `epact.run(options, f)`.
local function failure(options, f)
  local ok, message = pcall(epact.run, options, f)
  assert.is_false(ok)
  return message
end

--- The message of the error of `f()`, with its place (`assert.error_matches` takes that away).
local function raised(f)
  local ok, message = pcall(f)
  assert.is_false(ok)
  return message
end

local function resident_bytes()
  local file = assert(io.open "/proc/self/statm")
  local pages = file:read("*a"):match "^%d+ (%d+)"
  file:close()
  return tonumber(pages) * 4096
end

describe("epact.run", function()
  it("prints the lines of its workers whole, as print would", function()
    local results = jobs.run [[
      io.stdout:setvbuf "no" -- what is written in two pieces is torn
      require "epact".run({ workers = 4 }, function(w)
        for i = 1, 1000 do print(w.id, i, nil, true) end
        print()
      end)
    ]]
    local lines, whole = 0, { [""] = 4 }
    for q = 0, 3 do for i = 1, 1000 do whole[("%d\t%d\tnil\ttrue"):format(q, i)] = 1 end end
    for line in results[0].output:gmatch "([^\n]*)\n" do
      assert.is_true((whole[line] or 0) > 0, line)
      whole[line], lines = whole[line] - 1, lines + 1
    end
    assert.equal(4004, lines)
  end)

  it("returns what the first worker returned, and a report with all results", function()
    local first, report = epact.run({ workers = 3 }, function(w) return w.id * 10, w.workers end)
    assert.equal(0, first)
    for i = 0, 2 do assert.same({ i * 10, 3 }, report.results[i]) end
    assert.equal(3, report.workers)
    assert.matches("^3 workers, %d+%.%d%d s\n", tostring(report))
  end)

  it("takes its options as nil, or leaves them out", function()
    assert.equal(7, (epact.run(nil, function() return 7 end)))
    assert.equal(8, (epact.run(function() return 8 end)))
  end)

  it("runs 64 workers", function()
    local sum = epact.run({ workers = 64, staleness = 1 }, function(w)
      local t = w:table("t", { rows = 1, cols = 64, type = "i32" })
      for _ = 1, 5 do
        t:inc(0, w.id, 1)
        w:clock()
        t:get(0)
      end
      w:barrier()
      local total = 0
      for q = 0, 63 do total = total + t:cell(0, q) end
      return total
    end)
    assert.equal(64 * 5, sum)
  end)

  it("refuses wrong options at the user's line", function()
    local function refused(options, f)
      local message = raised(function() epact.run(options, f) end)
      local place, rest = message:match "^(spec/run_spec%.lua:%d+): (.*)$"
      assert.is_not_nil(place, message)
      return rest
    end
    local none = function() end
    assert.equal("epact.run: option 'workers' must be an integer >= 1, got 0", refused({ workers = 0 }, none))
    assert.equal("epact.run: option 'workers' must be an integer >= 1, got 1.5", refused({ workers = 1.5 }, none))
    assert.equal("epact.run: workers must be 1 .. 4096, got 5000", refused({ workers = 5000 }, none))
    assert.equal("epact.run: unknown option 'worker' (did you mean 'workers'?)", refused({ worker = 1 }, none))
    assert.equal("epact.run: unknown option 'stalenes' (did you mean 'staleness'?)", refused({ stalenes = 1 }, none))
    assert.equal("epact.run: unknown option 3", refused({ [3] = 1 }, none))
    assert.equal("epact.run: option 'staleness' must be an integer >= 0 or math.huge, got -1",
      refused({ staleness = -1 }, none))
    assert.equal("epact.run: option 'timeout' must be a positive number, got 0", refused({ timeout = 0 }, none))
    assert.equal("epact.run: option 'seed' must be an integer, got \"x\"", refused({ seed = "x" }, none))
    assert.equal("epact.run: the options must be a table, got 4", refused(4, none))
    assert.equal("epact.run: the worker function must be a function, got nil", refused({ workers = 1 }))
  end)

  it("lets a worker leave early: nobody waits for it", function()
    local sum, report = epact.run({ workers = 3, timeout = 20 }, function(w)
      local t = w:table("t", { rows = 1, cols = 3 })
      t:inc(0, w.id, 1)
      if w.id == 1 then return "left" end
      for _ = 1, 20 do
        w:clock()
        t:inc(0, w.id, 1)
        t:get(0)
      end
      w:barrier()
      return t:cell(0, 0) + 100 * t:cell(0, 1) + 1000 * t:cell(0, 2)
    end)
    assert.equal(21 + 100 + 21000, sum)
    assert.equal("left", report.results[1][1])
  end)

  it("runs inside a worker as a job of its own", function()
    local _, report = epact.run({ workers = 2 }, function(w)
      local inner, outer_id = require "epact", w.id
      return (inner.run({ workers = 2 }, function(v)
        local t = v:table("t", { rows = 1, cols = 1 })
        t:inc(0, 0, 1 + outer_id)
        v:barrier()
        return t:cell(0, 0)
      end))
    end)
    assert.same({ 2, 4 }, { report.results[0][1], report.results[1][1] })
  end)
end)

describe("an error in a worker", function()
  it("is raised with its message, its worker and its own traceback", function()
    local message = failure({ workers = 3 }, function(w)
      local function inner(x) error("boom " .. x) end
      if w.id == 2 then inner(5) end
    end)
    local lines = {}
    for line in message:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.matches("^spec/run_spec%.lua:%d+: worker 2: spec/run_spec%.lua:%d+: boom 5$", lines[1])
    assert.equal("stack traceback:", lines[2])
    assert.matches("^\tspec/run_spec%.lua:%d+: in function 'inner'$", lines[3])
    assert.matches("^\tspec/run_spec%.lua:%d+: in function ", lines[4])
    assert.equal(4, #lines)
  end)

  it("of a library call points at the user's line", function()
    local message = failure({ workers = 1 }, function(w) w:table("t", { rows = 1, cols = 1 }):inc(5, 0, 1) end)
    assert.matches("worker 0: spec/run_spec%.lua:%d+: inc: table 't': row 5 is outside %[0, 1%) %[E_RANGE%]\n", message)
    assert.equal("E_RANGE", epact.error_code(message:match "^[^\n]*"))
  end)

  it("need not be a string", function()
    local function told(value)
      return failure({ workers = 1 }, function() error(value, 0) end):match ": worker 0: an error that is ([^\n]*)"
    end
    assert.matches("table: 0x", told { code = 3 })
    assert.matches("nil$", told(nil))
    assert.matches("12$", told(12))
    assert.matches("12 apples$", failure({ workers = 1 }, function()
      error(setmetatable({}, { __tostring = function() return "12 apples" end }))
    end):match "worker 0: an error that is ([^\n]*)")
    assert.matches(": worker 0: ", failure({ workers = 1 }, function()
      error(setmetatable({}, { __tostring = function() error "not even that" end }))
    end))
  end)

  it("stops who waits, and who computes between clocks", function()
    local begin = os.time()
    local message = failure({ workers = 4, timeout = 60 }, function(w)
      local t = w:table("t", { rows = 1, cols = 1, staleness = w.id == 2 and math.huge or 0 })
      if w.id == 3 then
        t:get(0)
        error "the third"
      end
      if w.id == 0 then w:barrier() end -- waits for all
      while w.id == 1 do -- waits for a row
        t:get(0)
        w:clock()
      end
      while true do w:clock() end -- never waits
    end)
    assert.matches("worker 3: .*the third", message)
    assert.is_true(os.time() - begin <= 5)
  end)

  it("ends the script with the message, its traceback and status 1", function()
    local results, seconds = jobs.run [[
      local epact = require "epact"
      epact.run({ workers = 2 }, function(w)
        if w.id == 1 then local nothing; nothing() end
        while true do end -- asks nobody: left behind
      end)
    ]]
    assert.equal(1, results[0].code)
    assert.equal("", results[0].output)
    assert.matches("script%.lua:2: worker 1: .-script%.lua:3: attempt to call local 'nothing' %(a nil value%)\n"
      .. "stack traceback:\n\t.-script%.lua:3: in function", results[0].errors)
    if jobs.timed then assert.is_true(seconds < 2) end
  end)

  it("of a timeout names whom it waited for", function()
    local message = failure({ workers = 2, timeout = 1 }, function(w)
      local t = w:table("counts", { rows = 1, cols = 1 })
      if w.id == 1 then while not w:stopped() do w:now() end end
      w:clock()
      t:get(0)
    end)
    assert.matches("worker 0: .*get: table 'counts': waited 1 s for worker 1 %(rank 0%), which is at clock 0 of 1 "
      .. "%[E_TIMEOUT%]", message)
    message = failure({ workers = 2, timeout = 1 }, function(w)
      if w.id == 1 then while not w:stopped() do w:now() end end
      w:barrier()
    end)
    assert.matches(": barrier: waited 1 s for worker 1 %(rank 0%)", message)
  end)

  it("of a sum that overflows names the cell", function()
    local message = failure({ workers = 1 }, function(w)
      local t = w:table("t", { rows = 2, cols = 2 })
      t:inc(1, 1, 1e308)
      t:inc(1, 1, 1e308)
    end)
    assert.matches("finish: table 't': the increment of row 1, column 1 is inf %[E_NONFINITE%]", message)
  end)
end)

describe("Ctrl-C", function()
  local body = [[
    local epact = require "epact"
    epact.run({ workers = 2, staleness = 0 }, function(w)
      local jobs = require "support.jobs"
      local t = w:table("t", { rows = 1, cols = 1 })
      if w.id == 1 then jobs.ready() end
      %s
    end)
    print "not reached"
  ]]
  local loops = {
    ["a clock that all wait for"] = "while true do t:inc(0, 0, 1) w:clock() t:get(0) end",
    ["a barrier that never comes"] = "if w.id == 0 then w:barrier() end while not w:stopped() do end",
    ["a compiled loop without any call"] = "local x = 0 while true do x = x + 1 end",
    ["a loop in Lua and a wait for it"] = "if w.id == 0 then t:inc(0, 0, 1) w:clock() t:get(0) end while true do end",
  }
  for name, loop in pairs(loops) do
    it("ends " .. name .. " at once, with a message and status 1", function()
      local results, seconds = jobs.run(body:format(loop), { signal = "INT" })
      assert.equal(1, results[0].code)
      assert.equal("", results[0].output)
      assert.matches("script%.lua:2: interrupted %[E_INTERRUPTED%]\n", results[0].errors)
      if jobs.timed then assert.is_true(seconds < 1.5, tostring(seconds)) end
    end)
  end

  it("is SIGTERM's other name", function()
    local results = jobs.run(body:format "while true do end", { signal = "TERM" })
    assert.equal(1, results[0].code)
    assert.matches("script%.lua:2: terminated %[E_INTERRUPTED%]\n", results[0].errors)
  end)

  it("can be caught: the next job runs", function()
    local results = jobs.run([[
      local epact = require "epact"
      local ok, message = pcall(epact.run, { workers = 2 }, function(w)
        if w.id == 0 then require "support.jobs".ready() end
        while not w:stopped() do end
      end)
      print(ok, message, epact.run({ workers = 2 }, function(w) w:barrier(); return w.workers end))
    ]], { signal = "INT" })
    assert.equal("", results[0].errors)
    assert.matches("^false\t%S+ interrupted %[E_INTERRUPTED%]\t2\t", results[0].output)
    assert.equal(0, results[0].code)
  end)
end)

describe("a pool", function()
  it("keeps workers and tables between phases", function()
    local pool = epact.start { workers = 3 }
    for phase = 1, 3 do
      local first, all = pool:each(function(w)
        local t = w:table("t", { rows = 3, cols = 1 })
        t:inc(w.id, 0, phase)
        w:barrier()
        return t:cell(0, 0), t:cell(2, 0), w:now()
      end)
      local sum = phase * (phase + 1) / 2
      assert.equal(sum, first)
      for i = 0, 2 do assert.same({ sum, sum, phase }, all[i]) end
    end
    assert.equal("epact.pool <3 workers, staleness 0, rank 0 of 1, ready>", tostring(pool))
    assert.equal(3 * 2 * 3, pool:stats().tables.t.reads / 2)
    pool:close()
    pool:close()
    assert.equal("epact.pool <3 workers, staleness 0, rank 0 of 1, closed>", tostring(pool))
    assert.matches("^spec/run_spec.lua:%d+: each: the pool is closed$", raised(function() pool:each(print) end))
  end)

  it("that stopped says why to every later phase", function()
    local pool = epact.start { workers = 2 }
    local ok, message = pcall(pool.each, pool, function(w) if w.id == 1 then error "first reason" end w:barrier() end)
    assert.is_false(ok)
    assert.matches("worker 1: .*first reason", message)
    assert.matches("each: the pool has stopped: worker 1: .*first reason", raised(function() pool:each(print) end))
    assert.matches("stopped>$", tostring(pool))
    pool:close()
    assert.matches("each: the pool is closed$", raised(function() pool:each(print) end))
  end)

  it("refuses what is no function, and goes on", function()
    local pool = epact.start { workers = 1 }
    local thread = coroutine.create(print)
    assert.matches("^spec/run_spec.lua:%d+: each: f must be a function, got 5$", raised(function() pool:each(5) end))
    assert.matches("^spec/run_spec.lua:%d+: upvalue 'thread' of function at spec/run_spec.lua:%d+ is a coroutine",
      raised(function() pool:each(function() return thread end) end))
    assert.matches("^spec/run_spec.lua:%d+: epact.start: unknown option 'threads'",
      raised(function() epact.start { threads = 2 } end))
    assert.equal(4, (pool:each(function() return 4 end)))
    pool:close()
  end)

  it("does not disturb another", function()
    local one, two = epact.start { workers = 2 }, epact.start { workers = 3, staleness = 1 }
    local function add(w)
      local t = w:table("t", { rows = 1, cols = 1 })
      t:inc(0, 0, w.workers)
      w:barrier()
      return t:cell(0, 0)
    end
    assert.equal(4, (one:each(add)))
    assert.equal(9, (two:each(add)))
    assert.equal(8, (one:each(add)))
    one:close()
    assert.equal(18, (two:each(add)))
    two:close()
  end)

  it("that was dropped ends its threads", function()
    local function threads()
      local file, n = assert(io.open "/proc/self/status"), nil
      for line in file:lines() do n = n or tonumber(line:match "^Threads:%s+(%d+)") end
      file:close()
      return n
    end
    local before = threads()
    for _ = 1, 10 do epact.start({ workers = 3 }):each(function(w) w:table("t", { cols = 1 }):inc(1, 0, 1) end) end
    collectgarbage()
    collectgarbage()
    collectgarbage()
    assert.is_true(threads() <= before + 3, threads() .. " threads, before " .. before)
  end)
end)

describe("memory", function()
  it("is given back by 200 runs", function()
    local function runs(n)
      for _ = 1, n do
        epact.run({ workers = 2 }, function(w)
          local t = w:table("t", { rows = 100, cols = 100 })
          local s = w:table("s", { cols = 1000, sparse = true })
          for i = 0, 99 do
            t:inc(i, i, 1)
            s:inc(i * 7, i, 1)
          end
          w:barrier()
          return t:cell(5, 5), s:cell(7, 1)
        end)
      end
      collectgarbage()
      collectgarbage()
    end
    runs(20)
    local before = resident_bytes()
    runs(180)
    local grown = (resident_bytes() - before) / 2 ^ 20
    if jobs.timed then assert.is_true(grown < 16, grown .. " MiB more") end
  end)

  it("of large tables and of errors is given back at the close", function()
    local before = resident_bytes()
    for round = 1, 3 do
      local ok = pcall(epact.run, { workers = 2 }, function(w)
        local t = w:table("t", { rows = 25, cols = 250000 }) -- 50 MB on the server and in each copy
        for i = 0, 24 do t:inc(i, i, 1) end
        w:clock()
        t:fetch()
        w:shared("more", 2 ^ 20)[5] = 1
        w:barrier()
        if round == 2 then error "on purpose" end
      end)
      assert.equal(round ~= 2, ok)
      local grown = (resident_bytes() - before) / 2 ^ 20
      if jobs.timed then assert.is_true(grown < 40, grown .. " MiB more") end
    end
  end)
end)
