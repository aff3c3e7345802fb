--- Processes that are lost, given up, or join while a job runs.
local core = require "epact.core"
local chaos = require "support.chaos"
local children = require "support.children"
local jobs = require "support.jobs"
local process = require "support.process"

local build = os.getenv "EPACT_BUILD" or "build"

local folder, scripts

before_each(function()
  folder, scripts = os.tmpname(), 0
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
end)

after_each(function() os.execute("rm -rf " .. folder) end)

local function write(text)
  scripts = scripts + 1
  local name = ("%s/script%d.lua"):format(folder, scripts)
  local file = assert(io.open(name, "w"))
  file:write("io.stdout:setvbuf 'line'\n", text)
  file:close()
  return name
end

-- Starts a process of the job in `folder`; `environment` beside the usual.
local function start(list, words, environment)
  local all = { LUA_PATH = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;", LUA_CPATH = build .. "/?.so;;",
    EPACT_ROOT = "ipc://" .. folder .. "/root" }
  for name, value in pairs(environment or {}) do all[name] = value end
  local child = children.start(words, all)
  list[#list + 1] = child
  return child
end

-- All ranks of a job of the same script, by rank from 0. `go`: a pipe; worker 0 waits until it is opened.
local function start_all(list, text, size, go)
  local name, ranks = write(text), {}
  for rank = 0, size - 1 do
    ranks[rank] = start(list, { "luajit", name }, { EPACT_RANK = rank, EPACT_SIZE = size, EPACT_SPEC_GO = go })
  end
  return ranks
end

local function join(list, text, environment)
  local all = { EPACT_JOIN = 1 }
  for name, value in pairs(environment or {}) do all[name] = value end
  return start(list, { "luajit", write(text) }, all)
end

-- All end by themselves.
local function finish(list, seconds)
  local outlived = children.finish(list, seconds)
  local said = {}
  for i, child in ipairs(list) do said[i] = child.output .. child.errors end
  assert.same({}, outlived, table.concat(said, "\n--\n"))
end

-- A worker of rank `rank` waits in the middle of the job until it is killed or continued. All increment their own
-- column in each row, which the first worker prints in the end.
local disturbed = [[
  local epact = require "epact"
  local given = { workers = 2, lease = 3, staleness = %d, on_loss = "continue", servers = %d }
  local rows = epact.run(given, function(w)
    local ffi = require "ffi"
    ffi.cdef "int usleep(unsigned);"
    local t = w:table("t", { rows = 6, cols = w.workers, type = "i64" })
    for clock = 0, 19 do
      for row = 0, 5 do t:inc(row, w.id, 1) end
      w:clock()
      if clock == 9 and w.rank == %d then
        if w.index == 0 then print "ready" end
        while not w:stopped() do ffi.C.usleep(10000) end
      end
      if clock == 14 and w.id == 0 and os.getenv "EPACT_SPEC_GO" then io.open(os.getenv "EPACT_SPEC_GO"):close() end
      t:get(clock %% 6)
    end
    w:barrier()
    local cells = {}
    for row = 0, 5 do
      for q = 0, w.workers - 1 do cells[#cells + 1] = ("%%d"):format(t:cell(row, q)) end
    end
    return table.concat(cells, " ")
  end)
  print("sums " .. rows)
]]

-- 20 clocks of all workers, but of rank `lost` some whole clocks of the first 10: what has left it in time.
local function assert_sums(child, lost, servers)
  assert.equal(0, child.code, child.errors)
  local cells = chaos.numbers(child.output:match "sums ([%d ]+)")
  assert.is_nil(chaos.judge_sums({ processes = 3, workers = 2, servers = servers, clocks = 20 }, cells,
    { [lost] = true }))
  for i, cell in ipairs(cells) do
    if math.floor((i - 1) % 6 / 2) == lost then assert.is_true(cell <= 10, child.output) end
  end
end

describe("on_loss = continue", function()
  it("goes on without a process that was killed; its whole clocks stay", function()
    children.with(function(list)
      local ranks = start_all(list, disturbed:format(1, 2, 2), 3)
      ranks[2]:await("ready", 20, { ranks[0], ranks[1] })
      ranks[2]:send "KILL"
      ranks[0]:await("rank 2 was lost", 20, { ranks[1] })
      local begin = core.C.epact_now()
      finish(list)
      if jobs.timed then assert.is_true(core.C.epact_now() - begin < 3) end -- nobody lingers for who is gone
      for rank = 0, 1 do assert_sums(ranks[rank], 2, 2) end
      assert.matches("epact: rank 2 was lost %(workers 4 .. 5, [^\n]-%[E_LOST%]; the others go on\n", ranks[0].errors)
    end)
  end)

  it("gives up one that stands still; it is told when it goes on", function()
    children.with(function(list)
      local go = folder .. "/go"
      assert(os.execute("mkfifo " .. go) == 0)
      local ranks = start_all(list, disturbed:format(0, 1, 1), 3, go)
      ranks[1]:await("ready", 20, { ranks[0], ranks[2] })
      ranks[1]:send "STOP"
      ranks[0]:await("rank 1 was lost", 20, { ranks[2] })
      ranks[1]:send "CONT"
      ranks[1]:await("E_FENCED", 20, { ranks[0], ranks[2] })
      io.open(go, "w"):close()
      finish(list)
      for _, rank in ipairs { 0, 2 } do assert_sums(ranks[rank], 1, 1) end
      assert.equal(1, ranks[1].code)
      assert.matches("this process was given up: rank 1 was lost %(workers 2 .. 3, .-its last sign of life came "
        .. "[%d.]+ s ago %[E_LOST%] %[E_FENCED%]", ranks[1].errors)
    end)
  end)

  it("goes on without one that believes a shard lost, and ends", function()
    children.with(function(list)
      -- Rank 2 has less patience than the others: it gives up rank 0, which only stands still for a while.
      local text = disturbed:format(1, 1, 2):gsub("lease = 3,", "lease = os.getenv 'EPACT_RANK' == '2' and 0.4 or 20,")
      local ranks = start_all(list, text, 3)
      ranks[2]:await("ready", 20, { ranks[0], ranks[1] })
      ranks[0]:send "STOP"
      ranks[2]:await("rank 0 was lost", 20, { ranks[1] })
      ranks[0]:send "CONT"
      finish(list)
      assert.equal(1, ranks[2].code)
      for rank = 0, 1 do assert_sums(ranks[rank], 2, 1) end
    end)
  end)

  it("ends with an error when one that holds a shard is lost", function()
    children.with(function(list)
      local ranks = start_all(list, disturbed:format(2, 2, 1), 3)
      ranks[1]:await("ready", 20, { ranks[0], ranks[2] })
      ranks[1]:send "KILL"
      finish(list)
      for _, rank in ipairs { 0, 2 } do
        assert.equal(1, ranks[rank].code)
        assert.matches("rank 1 was lost .-%[E_LOST%]", ranks[rank].errors)
      end
    end)
  end)
end)

describe("on_loss = restart", function()
  it("begins again when a process is lost while the others wait for its end", function()
    children.with(function(list)
      local job = start(list, { "luajit", "lua/epact/bin/epact", "launch", "--local", 2, "--restarts", 2, write(([[
        local epact = require "epact"
        local given = { workers = 1, staleness = math.huge, lease = 1, on_loss = "restart",
          snapshot = { every = 5, dir = "%s/snapshots" } }
        print("cell", epact.run(given, function(w)
          require("ffi").cdef "int usleep(unsigned);"
          local t = w:table("t", { rows = 1, cols = 1 })
          while w:now() < 12 do
            if w:now() == 7 and w.rank == 1 and os.getenv "EPACT_RESTART" == "0" then
              os.execute "kill -STOP $PPID"
              while not w:stopped() do require("ffi").C.usleep(1000) end -- it may come late
            end
            t:inc(0, 0, 1)
            w:clock()
          end
          if os.getenv "EPACT_RESTART" == "0" then return -1 end -- leaves without waiting for the others
          w:barrier()
          return t:cell(0, 0)
        end))]]):format(folder)) })
      finish(list, 30)
      assert.equal(0, job.code, job.errors)
      assert.matches("starting again from the last snapshot (1 of 2)", job.errors, 1, true)
      assert.is_nil(job.errors:find("2 of 2", 1, true))
      for rank = 0, 1 do assert.matches(("[%d] cell\t24\t"):format(rank), job.output, 1, true) end
    end)
  end)
end)

-- A job that others join. Every worker adds 1 to cell 0 of its own row at each clock, and reads all rows by the SSP
-- rule; cell 1 holds its first clock + 1. Once the file `end` is there, worker 0 names the last clock in row 0; there
-- all meet at a barrier. `leave`: clocks after which a worker that has joined leaves.
local growing = [[
  local epact = require "epact"
  local o = { workers = %d, staleness = %d, leave = %d }
  local given = { workers = o.workers, staleness = o.staleness, elastic = true, lease = 2, timeout = 20 }
  local rows = epact.run(given, function(w)
    local ffi = require "ffi"
    ffi.cdef "int usleep(unsigned);"
    local t = w:table("t", { rows = 32, cols = 3, type = "i64" })
    local first, seen, last = w:now(), {}, 0
    print(("worker %%d of %%d begins at clock %%d, joined %%s"):format(w.id, w.workers, first, tostring(w.joined)))
    t:inc(w.id, 1, first + 1)
    while last == 0 or w:now() < last do
      if w.joined and o.leave > 0 and w:now() == first + o.leave then return "" end
      t:inc(w.id, 0, 1)
      if w.id == 0 and last == 0 and io.open "%s/end" then t:inc(0, 2, w:now() + o.staleness + 3) end
      w:clock()
      last = tonumber(t:cell(0, 2))
      for q = 0, 31 do
        local count, began = tonumber(t:cell(q, 0)), tonumber(t:cell(q, 1)) - 1
        local low = began >= 0 and %s and w:now() - o.staleness - began or 0
        if count < math.max(low, seen[q] or 0) or (q == w.id and count ~= w:now() - first) then
          error(("WRONG: row %%d has %%d at clock %%d of worker %%d"):format(q, count, w:now(), w.id))
        end
        seen[q] = count
      end
      if w:now() == o.staleness + 2 then print "all are past clock 0" end -- by the SSP rule
      ffi.C.usleep(300)
    end
    if w:now() > last then error "WRONG: joined after the last clock was named" end
    w:barrier()
    local list = {}
    for q = 0, 31 do
      local began = tonumber(t:cell(q, 1)) - 1
      if began >= 0 then
        list[#list + 1] = ("%%d:%%s"):format(q, t:cell(q, 0) == last - began and "whole" or tostring(t:cell(q, 0)))
      end
    end
    return table.concat(list, " ")
  end)
  print("rows " .. rows)
]]

local function grow(workers, staleness, leave, all_stay)
  return growing:format(workers, staleness, leave or 0, folder, tostring(all_stay ~= false))
end

local function name_the_end() assert(io.open(folder .. "/end", "w")):close() end

local function began(child, list)
  return tonumber((child:await("begins at clock (%d+)", 20, list)))
end

-- Who joins then begins at a later clock than 0.
local function await_all(ranks, list)
  for rank = 0, #ranks do ranks[rank]:await("all are past clock 0", 20, list) end
end

describe("an elastic job", function()
  for _, case in ipairs { { 1, 1, 0 }, { 2, 1, 1 }, { 2, 2, 0 }, { 2, 2, 3 } } do
    local founders, joiners, staleness = unpack(case)
    it(("of %d is joined by %d, with staleness %d"):format(founders, joiners, staleness), function()
      children.with(function(list)
        local text, expected = grow(2, staleness), {}
        local ranks = start_all(list, text, founders)
        await_all(ranks, list)
        for i = 1, joiners do
          local child = join(list, text)
          assert.is_true(began(child, list) > 0)
          local first = 2 * (founders + i - 1) -- workers are numbered as they come
          for q = first, first + 1 do
            child:await(("worker %d of %%d+ begins at clock %%d+, joined true\n"):format(q), 20, list)
          end
        end
        ranks[0]:await(("worker 0 of %d begins at clock 0, joined false\n"):format(2 * founders), 20, list)
        name_the_end()
        finish(list)
        for q = 0, 2 * (founders + joiners) - 1 do expected[q + 1] = q .. ":whole" end
        for _, child in ipairs(list) do
          assert.equal(0, child.code, child.errors)
          assert.matches("rows " .. table.concat(expected, " ") .. "\n", child.output, 1, true)
        end
        assert.matches("epact: rank %d+ joins with workers %d .. %d\n", ranks[0].errors)
      end)
    end)
  end

  it("is joined by some that come at once, each at an address of its own", function()
    children.with(function(list)
      local text, joined, expected = grow(1, 0), {}, {}
      local ranks = start_all(list, text, 2)
      await_all(ranks, list)
      for i = 1, 3 do joined[i] = join(list, text) end
      for _, child in ipairs(joined) do assert.is_true(began(child, list) > 0) end
      name_the_end()
      finish(list)
      for q = 0, 4 do expected[q + 1] = q .. ":whole" end
      for _, child in ipairs(list) do
        assert.equal(0, child.code, child.errors)
        assert.matches("rows " .. table.concat(expected, " ") .. "\n", child.output, 1, true)
      end
    end)
  end)

  it("is left by one that has joined, and by one that is killed; their whole clocks stay", function()
    children.with(function(list)
      local stay = grow(1, 1, 0, false)
      local ranks = start_all(list, stay, 2)
      await_all(ranks, list)
      local leaver = join(list, grow(1, 1, 25, false))
      leaver:await("rows ", 20, list)
      local victim = join(list, stay)
      began(victim, list)
      victim:send "KILL"
      ranks[0]:await("rank 3 was lost", 20, list)
      name_the_end()
      finish(list)
      assert.equal(0, leaver.code, leaver.errors)
      for rank = 0, 1 do
        assert.equal(0, ranks[rank].code, ranks[rank].errors)
        assert.matches("rows 0:whole 1:whole 2:25", ranks[rank].output, 1, true)
      end
    end)
  end)

  it("refuses changes to one that has joined", function()
    children.with(function(list)
      local text = [[
        require "epact".run({ workers = 1, elastic = true, timeout = 20 }, function(w)
          local t = w:table("t", { rows = 1, cols = 1, type = "i64", sparse_updates = true, changes = true })
          print "begins"
          repeat w:clock() until w.joined or io.open "]] .. folder .. [[/end"
          for _ in t:changes() do end
        end)]]
      local founder = start_all(list, text, 1)[0]
      founder:await "begins"
      local joiner = join(list, text)
      joiner:await("table 't': a worker that joined a running job reads no changes", 20, list)
      name_the_end()
      finish(list)
      assert.equal(1, joiner.code)
    end)
  end)
end)

describe("a process that wants to join", function()
  -- Runs until the file `end` is there.
  local function patient(options)
    return ([[
      require "epact".run({ workers = 1, %s }, function(w)
        print "begins"
        while not io.open "%s/end" do w:clock() end
      end)]]):format(options, folder)
  end

  -- It ends with `said`, and so does one after it; the job of `size` processes that they came to does not notice.
  local function assert_refused(size, given, asked, said, founder_keys, joiner_keys)
    children.with(function(list)
      local ranks, root = {}, nil
      if founder_keys then -- keys are for tcp
        root = ("tcp://127.0.0.1:%d"):format(20000 + core.C.epact_crc32c(0, folder, #folder) % 12000)
      end
      local name = write(patient(given .. ", timeout = 20"))
      for rank = 0, size - 1 do
        ranks[rank] = start(list, { "luajit", name }, { EPACT_RANK = rank, EPACT_SIZE = size,
          EPACT_KEYS = founder_keys, EPACT_ROOT = root })
      end
      for rank = 0, size - 1 do ranks[rank]:await("begins", 20, list) end
      local joiners = {}
      for i = 1, 2 do
        joiners[i] = join(list, patient(asked .. ", timeout = 10"), { EPACT_KEYS = joiner_keys, EPACT_ROOT = root })
        joiners[i]:await(said, 20, list)
      end
      name_the_end()
      finish(list)
      for _, joiner in ipairs(joiners) do assert.equal(1, joiner.code, joiner.errors) end
      for rank = 0, size - 1 do assert.equal(0, ranks[rank].code, ranks[rank].errors) end
    end)
  end

  it("is not let into a job that is not elastic", function()
    assert_refused(2, "elastic = false", "elastic = true", "epact.run: the job is not elastic %[E_STOPPED%]")
  end)

  it("is not let in when there is no job", function()
    children.with(function(list)
      local joiner = join(list, patient "timeout = 1")
      joiner:await "a process that wants to join waited 1 s .- %[E_TIMEOUT%]"
      finish(list)
    end)
  end)

  it("cannot be deterministic", function()
    assert_refused(1, "elastic = true", "deterministic = true",
      "epact.run: the workers of a deterministic job neither come nor go\n")
  end)

  it("is not let in with another job's key", function()
    for _, name in ipairs { "ours", "theirs" } do
      local _, code = process.run(("lua/epact/bin/epact keygen %s/%s"):format(folder, name), { paths = true })
      assert.equal(0, code)
    end
    assert_refused(1, "elastic = true", "timeout = 1", "%[E_AUTH%]", folder .. "/ours", folder .. "/theirs")
  end)

  it("needs an address", function()
    children.with(function(list)
      local joiner = join(list, patient "timeout = 1", { EPACT_ROOT = "" })
      joiner:await "EPACT_JOIN needs EPACT_ROOT, the address of the running job's rank 0"
    end)
  end)
end)

describe("the options of membership", function()
  local function failure(options)
    local _, message = pcall(require("epact").run, options, function() end)
    return message
  end

  it("are checked", function()
    assert.matches("epact.run: 2 servers of 1 processes are not possible$", failure { workers = 1, servers = 2 })
    assert.matches("epact.run: the workers of a deterministic job neither come nor go$",
      failure { workers = 1, deterministic = true, on_loss = "continue" })
    assert.matches("epact.run: the workers of a deterministic job neither come nor go$",
      failure { workers = 1, deterministic = true, elastic = true })
    assert.matches("option 'on_loss' must be one of fail, continue, restart, got \"ignore\"",
      failure { workers = 1, on_loss = "ignore" })
    assert.matches("'servers' must be an integer >= 1, got 0", failure { workers = 1, servers = 0 })
    assert.matches("epact.run: on_loss restart needs snapshot", failure { workers = 1, on_loss = "restart" })
    assert.matches("epact.run: an elastic job of 1 processes needs the address of rank 0 %(EPACT_ROOT%)$",
      failure { workers = 1, elastic = true })
  end)
end)
