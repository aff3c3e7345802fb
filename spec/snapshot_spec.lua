--- Jobs that are killed and go on: what they have at the end is what they would have had undisturbed.
local epact = require "epact"
local jobs = require "support.jobs"
local process = require "support.process"

local folder

local function exists(name)
  local file = io.open(folder .. "/" .. name)
  if file then file:close() end
  return file ~= nil
end

local function files()
  local names = {}
  for name in process.run("ls " .. folder .. "/s"):gmatch "[^\n]+" do names[#names + 1] = name end
  return names
end

-- A new folder for each test; its snapshots are in s.
local function fresh()
  folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
end
local function clean() os.execute("rm -rf " .. folder) end

local head = [[
  local epact = require "epact"
  local ready_at, ready_id = %d, %d
  local function ready(w)
    if ready_at >= 0 and w:now() >= ready_at and w.id == ready_id then
      require "support.jobs".ready()
      ready_at = math.huge
    end
  end
  local function await_kill(w)
    while ready_at >= 0 do
      w:barrier()
      ready(w)
    end
  end
  local given = { workers = %d, lease = 5, staleness = %d, deterministic = %s, resume = %s, seed = 11,
    snapshot = { every = %d, dir = %q, durability = %q } }
]]

-- Every worker draws rows and amounts; its state is its stream and what it has added. The sums of the tables must be
-- those of the workers.
local sums = [[
  print((epact.run(given, function(w)
    local dense = w:table("dense", { rows = 13, cols = 3, type = "i64" })
    local hash = w:table("hash", { cols = 9, sparse = true, type = "i64" })
    local added = w:table("added", { rows = w.workers, cols = 1, type = "i64" })
    local rng, total, begun = w:rng(), 0, w:now()
    local resumed = w:state(function() return { rng:state(), total } end, function(state)
      rng:restore(state[1])
      total = state[2]
    end)
    assert(resumed == (begun > 0))
    for _ = begun, 29 do
      local row, amount = rng:below(13), rng:below(1000)
      dense:inc(row, amount % 3, amount)
      hash:inc(row * 1e12, row % 9, amount)
      dense:get(rng:below(13))
      total = total + amount
      w:clock()
      ready(w)
    end
    await_kill(w)
    added:inc(w.id, 0, total)
    w:barrier()
    local sum, list = 0, {}
    for id = 0, w.workers - 1 do sum = sum + added:cell(id, 0) end
    for row = 0, 12 do
      for col = 0, 2 do
        list[#list + 1] = dense:cell(row, col)
        sum = sum - dense:cell(row, col)
      end
      for _, value in hash:get(row * 1e12):each() do list[#list + 1] = value end
    end
    assert(sum == 0, sum)
    return table.concat(list, " ")
  end)))
]]

-- Floats whose every bit depends on the order of all that was done before.
local floats = [[
  local _, report = epact.run(given, function(w)
    local t = w:table("t", { rows = 6, cols = 4, staleness = 0 })
    local rng = w:rng()
    w:state(function() return rng:state() end, function(state) rng:restore(state) end)
    for _ = w:now(), 24 do
      local from = t:get(rng:below(6))
      for col = 0, 3 do t:inc(rng:below(6), col, (rng:normal() - from[3 - col]) / 3) end
      w:clock()
      ready(w)
    end
    await_kill(w)
    w:barrier()
    local list = {}
    for row = 0, 5 do
      for col = 0, 3 do list[#list + 1] = ("%%.17g"):format(t:cell(row, col)) end
    end
    return table.concat(list, " ")
  end)
  for i = 0, #report.results do print(report.results[i][1]) end
]]

--- Runs a script at `place` = { processes, workers of each }; killed: { clock, worker, rank }.
local function run(script, place, given, killed)
  local durability, resume = given.durability or "snapshot", given.resume == nil and "false" or tostring(given.resume)
  local text = head:format(killed and killed[1] or -1, killed and killed[2] or -1, place[2], given.staleness or 0,
    tostring(given.deterministic or false), resume, given.every or 4, folder .. "/" .. (given.dir or "s"), durability)
  return jobs.run(text .. script, { processes = place[1], seconds = 30, signal = killed and "KILL" or nil,
    signalled = killed and { killed[3] } or nil })
end

local function outputs(results, processes)
  local text = ""
  for rank = 0, processes - 1 do
    assert.equal("", results[rank].errors)
    assert.equal(0, results[rank].code)
    text = text .. results[rank].output
  end
  return text
end

--- Killed at random places, again and again; returns what it prints at the end.
local function disturbed(script, place, given, rng, kills)
  local clock = 0
  for kill = 1, kills do
    clock = clock + 1 + rng:below(math.floor(24 / kills))
    given.resume = kill > 1
    local rank = rng:below(place[1])
    local results = run(script, place, given, { clock, rng:below(place[1] * place[2]), rank })
    assert.equal(137, results[rank].code, results[rank].errors)
    for other = 0, place[1] - 1 do
      if other ~= rank then assert.matches("%[E_LOST%]", results[other].errors) end
    end
  end
  given.resume = true
  return outputs(run(script, place, given), place[1])
end

describe("a job that is killed", function()
  before_each(fresh)
  after_each(clean)

  local rng = epact.rng(os.time())
  for _, case in ipairs {
    { { 3, 2 }, { staleness = 0 }, 2 }, { { 2, 2 }, { staleness = 2, durability = "journal" }, 2 },
    { { 1, 3 }, { staleness = 40, durability = "journal" }, 6 }, { { 1, 3 }, { staleness = 1 }, 6 },
  } do
    local place, given, kills = unpack(case)
    local durability = given.durability or "snapshot"
    it(("%d x %d, %s: goes on to exact sums"):format(place[1], place[2], durability), function()
      local calm = outputs(run(sums, place, { dir = "calm", staleness = given.staleness }), place[1])
      assert.equal(calm, disturbed(sums, place, given, rng, kills))
    end)
  end

  it("goes on in more, and in fewer processes", function()
    local calm = outputs(run(sums, { 1, 6 }, { dir = "calm" }), 1)
    local places, durability = { { 3, 2 }, { 1, 6 }, { 2, 3 } }, { "snapshot", "journal", "journal" }
    for i, place in ipairs(places) do
      local results = run(sums, place, { resume = i > 1, durability = durability[i] }, { 6 * i, 2, place[1] - 1 })
      assert.equal(137, results[place[1] - 1].code)
    end
    local results = run(sums, { 6, 1 }, { resume = true })
    assert.equal(calm:rep(6), outputs(results, 6))
  end)

  for _, place in ipairs { { 1, 4 }, { 2, 2 }, { 4, 1 } } do
    it(("deterministic, %d x %d: ends with the bits of an undisturbed run"):format(place[1], place[2]), function()
      local given = { deterministic = true, durability = place[1] == 2 and "journal" or "snapshot" }
      local calm = outputs(run(floats, { 1, 4 }, { deterministic = true, dir = "calm" }), 1)
      assert.equal(calm, disturbed(floats, place, given, rng, place[1] == 1 and 3 or 1))
    end)
  end

  it("at any moment, while it writes as well, has a whole snapshot", function()
    local script = [[
      local given = { workers = 2, deterministic = true, resume = "if any", snapshot = { every = 1, dir = %q } }
      require "epact".run(given, function(w)
        local t, begun = w:table("t", { rows = 40, cols = 400 }), w:now()
        for row = 0, 39 do assert(t:cell(row, row) == 2 * begun, row) end
        while true do
          for row = 0, 39 do t:inc(row, row, 1) end
          w:barrier()
          if w.id == 0 and w:now() == begun + %d then require "support.jobs".ready() end
        end
      end)
    ]]
    for _ = 1, 8 do
      local result = jobs.run(script:format(folder .. "/s", 5 + rng:below(10)), { signal = "KILL" })[0]
      assert.equal(137, result.code, result.errors)
    end
    local newest = 0
    for _, name in ipairs(files()) do
      newest = math.max(newest, tonumber(name:match "^clock%-(%d+)%.manifest$") or 0)
    end
    assert.is_true(newest > 15, "only clock " .. newest) -- two parts may be in memory each time
  end)
end)

describe("a job of other workers", function()
  before_each(fresh)
  after_each(clean)

  local function count(workers, clocks, given)
    given.workers, given.snapshot = workers, { every = given.every or 5, dir = folder .. "/s" }
    given.every = nil
    return (epact.run(given, function(w)
      local t = w:table("t", { rows = 3, cols = 1 })
      local begun = w:now()
      for _ = begun, clocks - 1 do
        t:inc(1, 0, 1)
        w:clock()
      end
      w:barrier()
      return { begun, t:cell(1, 0) }
    end))
  end

  it("takes over the tables, not the states", function()
    assert.same({ 0, 20 }, count(2, 10, {}))
    assert.same({ 10, 20 + 25 }, count(5, 15, { resume = true }))
    assert.same({ 15, 45 + 3 }, count(1, 18, { resume = true }))

    local function with_state(w)
      w:state(function() return 1 end, print)
      for _ = w:now(), 24 do w:clock() end
    end
    local snapshot = { every = 5, dir = folder .. "/s" }
    epact.run({ workers = 2, resume = true, snapshot = snapshot }, with_state)
    local ok, message = pcall(epact.run, { workers = 3, resume = true, snapshot = snapshot }, with_state)
    assert.is_false(ok)
    assert.matches("the snapshot has the states of 2 workers, this job has 3 workers %[E_SNAPSHOT%]", message)
  end)

  it("ends with a whole snapshot, begins with the newest or the one that is named, in any rhythm", function()
    assert.same({ 0, 20 }, count(2, 10, {}))
    assert.same({ "clock-10.manifest", "clock-10.part-0", "clock-5.manifest", "clock-5.part-0" }, files())
    assert.same({ 5, 20 }, count(2, 10, { resume = 5 }))
    assert.same({ 10, 28 }, count(2, 14, { resume = true, every = 2 }))
    assert.same({ "clock-12.manifest", "clock-12.part-0", "clock-14.manifest", "clock-14.part-0" }, files())
    assert.same({ 12, 26 }, count(2, 13, { resume = 12, every = 100 }))
    assert.same({ "clock-12.manifest", "clock-12.part-0", "clock-14.part-0" }, files())
    assert.same({ 12, 28 }, count(2, 14, { resume = "if any", every = 7 }))
    assert.same({ 14, 28 }, count(2, 14, { resume = "if any", every = 7 }))
  end)

  it("begins at the clock that is named, not where the journals after it lead", function()
    local function go_on(last, resume)
      return epact.run({ workers = 2, snapshot = { every = 5, dir = folder .. "/s", durability = "journal" },
        resume = resume }, function(w)
        local t, begin = w:table("t", { rows = 1, cols = 1 }), w:now()
        while w:now() < last do
          t:inc(0, 0, 1)
          w:clock()
        end
        w:barrier()
        return begin * 1000 + t:cell(0, 0)
      end)
    end
    assert.equal(24, go_on(12))
    assert.equal(5000 + 2 * 8, go_on(8, 5))
    assert.equal(1000 * 10 + 2 * 8, go_on(9, true)) -- 8 clocks, a barrier and the end: of the second run, not the first
  end)

  it("that is started again goes on from its last snapshot, not from the clock that is named", function()
    assert.same({ 0, 20 }, count(2, 10, {}))
    assert.same({ 5, 30 }, count(2, 15, { resume = 5 }))
    local results = jobs.run(([[
      print((require "epact".run({ workers = 2, on_loss = "restart", resume = 5,
        snapshot = { every = 5, dir = %q } }, function(w) return w:now() end)))]]):format(folder .. "/s"),
      { prefix = { [0] = "env EPACT_RESTART=1" } })
    assert.same({ code = 0, output = "15\n", errors = "" }, results[0])
  end)

  it("has its folder for itself, and shares it with all its processes", function()
    local snapshot = { every = 5, dir = folder .. "/s" }
    local pool = epact.start { workers = 1, snapshot = snapshot }
    local ok, message = pcall(epact.start, { workers = 1, snapshot = snapshot, resume = true })
    pool:close()
    assert.is_false(ok)
    assert.matches("another job keeps its snapshots there now %[E_SNAPSHOT%]", message)
    epact.start({ workers = 1, snapshot = snapshot, resume = true }):close()

    local results = run([[
      given.snapshot.dir = given.snapshot.dir .. os.getenv "EPACT_RANK"
      epact.run(given, print)]], { 2, 1 }, {})
    for rank = 0, 1 do
      assert.equal(1, results[rank].code)
      assert.matches("rank 1 does not see in .-/s1 what rank 0 has written there", results[rank].errors)
    end
  end)

  it("is refused a folder in which it would begin anew, or has nothing to go on from", function()
    local function refusal(given) return select(2, pcall(count, 1, 5, given)) end
    assert.matches("epact.run: snapshots in .-: the folder has no snapshot %[E_SNAPSHOT%]", refusal { resume = true })
    assert.matches("there is no snapshot at clock 3 %[E_SNAPSHOT%]", refusal { resume = 3 })
    assert.same({ 0, 5 }, count(1, 5, { resume = "if any" }))
    assert.matches("/s has a snapshot at clock 5: resume = true goes on from it; to begin anew, take another folder or "
      .. "remove it %[E_SNAPSHOT%]", refusal {})
    local results = run("epact.run(given, print)", { 3, 1 }, {})
    for rank = 0, 2 do
      assert.equal(1, results[rank].code)
      assert.matches("has a snapshot at clock 5", results[rank].errors)
    end
  end)
end)

describe("a job of several processes", function()
  before_each(fresh)
  after_each(clean)

  it("ends at once, and leaves two snapshots", function()
    local results, seconds = run(sums, { 3, 1 }, { every = 10, durability = "journal" })
    outputs(results, 3)
    if jobs.timed then assert.is_true(seconds < 4.5, tostring(seconds)) end -- nobody lingers
    local list = {}
    for _, clock in ipairs { 20, 30 } do
      for rank = 0, 2 do list[#list + 1] = ("clock-%d.journal-%d"):format(clock, rank) end
      list[#list + 1] = ("clock-%d.manifest"):format(clock)
      for rank = 0, 2 do list[#list + 1] = ("clock-%d.part-%d"):format(clock, rank) end
    end
    assert.same(list, files())
  end)
end)

describe("options of snapshots", function()
  before_each(fresh)
  after_each(clean)

  local function refusal(given)
    return select(2, pcall(epact.run, given, function() return "ran" end))
  end

  it("are checked", function()
    assert.matches("epact.run: snapshot: option 'dir' is required", refusal { snapshot = { every = 1 } })
    assert.matches("epact.run: snapshot: option 'every' is required", refusal { snapshot = { dir = "x" } })
    assert.matches("'every' must be an integer >= 1, got 0", refusal { snapshot = { every = 0, dir = "x" } })
    assert.matches("unknown option 'evry' %(did you mean 'every'%?%)", refusal { snapshot = { evry = 1, dir = "x" } })
    assert.matches("'durability' must be one of snapshot, journal, got \"disk\"",
      refusal { snapshot = { every = 1, dir = "x", durability = "disk" } })
    assert.matches("resume needs snapshot = ", refusal { resume = true })
    assert.matches("'resume' must be true, false, \"if any\" or the clock of a snapshot, got \"yes\"",
      refusal { resume = "yes", snapshot = { every = 1, dir = "x" } })
  end)

  it("name a folder that can be made and written", function()
    os.execute("touch " .. folder .. "/file")
    local function of(dir) return refusal { workers = 1, snapshot = { every = 1, dir = dir } } end
    assert.matches("/file is not a folder %[E_DISK%]", of(folder .. "/file"))
    assert.matches("cannot make the folder .-/file/in: Not a directory %[E_DISK%]", of(folder .. "/file/in"))
    assert.matches("epact.run: snapshots in /proc: cannot open /proc/.lock: .- %[E_DISK%]", of "/proc")
    assert.equal("ran", (epact.run({ workers = 1, snapshot = { every = 1, dir = folder .. "/a/b/c" } },
      function() return "ran" end)))
    assert.is_true(exists "a/b/c/clock-0.manifest")
    local results = run("epact.run(given, print)", { 2, 1 }, { dir = "file" })
    for rank = 0, 1 do assert.matches("/file is not a folder", results[rank].errors) end
    for bad = 0, 1 do -- one rank alone
      local script = "if os.getenv 'EPACT_RANK' == '%d' then given.snapshot.dir = %q end epact.run(given, print)"
      results = run(script:format(bad, folder .. "/file"), { 3, 1 }, {})
      for rank = 0, 2 do
        assert.equal(1, results[rank].code)
        assert.matches("/file is not a folder", results[rank].errors)
      end
    end
  end)
end)

describe("a full disk", function()
  before_each(fresh)
  after_each(clean)

  -- No file may become larger than 64 KiB: what a file system without room says too, but for the reason.
  local function run_short(durability, clocks)
    local script = process.temporary(([[
      print((require "epact".run({ workers = 2, snapshot = { every = 5, dir = %q, durability = %q } }, function(w)
        local t = w:table("t", { rows = 100, cols = 100 })
        for clock = 0, %d do
          t:inc(w.id, 0, 1)
          if clock >= 7 then t:inc_all(require "ffi".new("double[10000]")) end
          w:clock()
        end
        w:barrier()
        return t:cell(0, 0) + t:cell(1, 0)
      end)))
    ]]):format(folder .. "/s", durability, clocks - 1))
    local output, code = process.run("trap '' XFSZ; ulimit -f 64; luajit " .. script, { paths = true, seconds = 30 })
    os.remove(script)
    return output, code
  end

  it("does not end a run, and leaves the old snapshots", function()
    local output, code = run_short("snapshot", 20)
    assert.equal(0, code, output)
    assert.matches("40\n$", output)
    for _, clock in ipairs { 10, 15, 20 } do
      assert.matches(("epact: rank 0: no snapshot at clock %d: cannot write .-/clock%%-%d%%.part%%-0%%.tmp: "):format(
        clock, clock), output)
    end
    assert.same({ "clock-0.manifest", "clock-0.part-0", "clock-5.manifest", "clock-5.part-0" }, files())
    assert.equal(5, (epact.run({ workers = 2, resume = true, snapshot = { every = 5, dir = folder .. "/s" } },
      function(w) return w:table("t", { rows = 100, cols = 100 }):cell(1, 0) end)))
  end)

  it("ends one that keeps a journal", function()
    local output, code = run_short("journal", 20)
    assert.equal(1, code, output)
    assert.matches("rank 0 cannot keep its journal: cannot append to .-/clock%-5%.journal%-0: .- %[E_DISK%]", output)
    local cell = epact.run({ workers = 2, resume = true, snapshot = { every = 5, dir = folder .. "/s" } }, function(w)
      return w:table("t", { rows = 100, cols = 100 }):cell(1, 0) - w:now()
    end)
    assert.equal(0, cell)
  end)
end)

describe("a worker's state", function()
  before_each(fresh)
  after_each(clean)

  local function failure(f, without)
    local snapshot = not without and { every = 1, dir = folder .. "/s" } or nil
    return select(2, pcall(epact.run, { workers = 1, snapshot = snapshot }, f))
  end

  it("is missing where a model keeps none: it refuses to go on", function()
    local X, y = epact.data.libsvm "examples/data/breast-cancer.svm"
    local sgd, lasso = require "epact.optim.sgd", require "epact.optim.lasso"
    local given = { workers = 2, snapshot = { every = 4, dir = folder .. "/s" }, resume = "if any" }
    epact.run(given, function(w) sgd.minimise(w, X, y, { loss = "logistic", epochs = 1 }) end)
    for name, fit in pairs {
      ["sgd.minimise"] = function(w) sgd.minimise(w, X, y, { loss = "logistic", epochs = 1 }) end,
      ["lasso.fit"] = function(w) lasso.fit(w, X, y) end,
    } do
      assert.error_matches(function() epact.run(given, fit) end,
        name .. ": it has no state in snapshots: it cannot go on from the one of clock %d+ %[E_SNAPSHOT%]")
    end
  end)

  it("is said once, before the first clock, with snapshots or without", function()
    for _, without in ipairs { false, true } do
      assert.matches("snapshot_spec.lua:%d+: state: this worker has a state already", failure(function(w)
        w:state(tostring, print)
        w:state(tostring, print)
      end, without))
      clean()
      assert.matches("snapshot_spec.lua:%d+: state: to be called before the worker's first clock, this is its clock 2",
        failure(function(w)
          w:clock()
          w:clock()
          w:state(tostring, print)
        end, without))
      clean()
    end
  end)

  it("that cannot be saved is an error at the user's line", function()
    assert.matches("snapshot_spec.lua:%d+: state: save must return a string, a number, a boolean or a table of them: ",
      failure(function(w)
        w:state(function() return print end, print)
        w:clock()
      end))
    clean()
    assert.matches("snapshot_spec.lua:%d+: state: save returned nothing", failure(function(w)
      w:state(function() end, print)
      w:clock()
    end))
    clean()
    local message = failure(function(w)
      local function of_mine() error "lost my notes" end
      w:state(of_mine, print)
      w:clock()
    end)
    assert.matches("snapshot_spec.lua:%d+: lost my notes\nstack traceback:\n\t.-:%d+: in function 'save'", message)
  end)

  it("comes back as it was", function()
    local function run_once(resume, clocks)
      return (epact.run({ workers = 3, resume = resume, snapshot = { every = 2, dir = folder .. "/s" } }, function(w)
        local mine = { id = w.id, list = {}, text = ("\0\255"):rep(w.id) }
        local resumed = w:state(function() return mine end, function(state) mine = state end)
        for clock = w:now(), clocks - 1 do
          mine.list[#mine.list + 1] = clock * 10 + w.id
          w:clock()
        end
        return { resumed, mine.id == w.id and #mine.text == 2 * w.id, table.concat(mine.list, " ") }
      end))
    end
    assert.same({ false, true, "0 10 20 30 40" }, run_once(false, 5))
    assert.same({ true, true, "0 10 20 30 40 50" }, run_once(true, 6))
    assert.same({ true, true, "0 10 20 30 40 50" }, run_once(true, 6))
  end)

  -- As the topics of LDA: a worker moves its tokens between cells, and knows of the others' moves by changes.
  it("fits a replica that is built from the table when it is resumed", function()
    local script = [[
      epact.run(given, function(w)
        local t = w:table("t", { rows = 8, cols = 5, type = "i32", sparse_updates = true, changes = true })
        local rng, at, replica = w:rng(), {}, {}
        for cell = 0, 39 do replica[cell] = 0 end
        local function add(row, col, n)
          t:inc(row, col, n)
          replica[row * 5 + col] = replica[row * 5 + col] + n
        end
        local function catch_up()
          for section in t:changes() do
            for i = 0, tonumber(section.rows) - 1 do
              for k = section.start[i], section.start[i + 1] - 1 do
                local cell = tonumber(section.row[i]) * 5 + section.col[k]
                replica[cell] = replica[cell] + section.value[k]
              end
            end
          end
        end
        local function save() return { rng:state(), at } end
        if w:state(save, function(state) rng:restore(state[1]) at = state[2] end) then
          for cell = 0, 39 do replica[cell] = t:cell(math.floor(cell / 5), cell % 5) end
          w:barrier() -- nobody moves before all have read
        else
          for token = 1, 20 do
            at[token] = rng:below(5)
            add(token % 8, at[token], 1)
          end
        end
        while w:now() < 30 do
          local token = 1 + rng:below(20)
          add(token % 8, at[token], -1)
          at[token] = rng:below(5)
          add(token % 8, at[token], 1)
          w:clock()
          ready(w)
          catch_up()
        end
        await_kill(w)
        w:barrier()
        catch_up()
        local sum = 0
        for cell = 0, 39 do
          assert(t:cell(math.floor(cell / 5), cell % 5) == replica[cell], cell)
          sum = sum + replica[cell]
        end
        assert(sum == 20 * w.workers, sum)
      end)
      print "same"
    ]]
    local rng = epact.rng(os.time(), 1)
    for _, durability in ipairs { "snapshot", "journal" } do
      assert.equal("same\nsame\n", disturbed(script, { 2, 2 }, { staleness = 1, durability = durability }, rng, 1))
      clean()
      fresh()
    end
  end)
end)

describe("epact snapshots", function()
  before_each(fresh)
  after_each(clean)

  local function show(words) return process.run("luajit lua/epact/bin/epact snapshots " .. words, { paths = true }) end

  it("lists what there is to go on from", function()
    local snapshot = { every = 5, dir = folder .. "/s", durability = "journal" }
    epact.run({ workers = 2, snapshot = snapshot, deterministic = true }, function(w)
      local t, u = w:table("weights", { rows = 7, cols = 3 }), w:table("u", { cols = 2, sparse = true, type = "i32" })
      w:state(function() return "mine" end, print)
      for row = 0, 11 do
        t:inc(row % 5, 0, 1)
        u:inc(row * 1000, 1, 1)
        w:clock()
      end
    end)
    local output, code = show(folder .. "/s")
    assert.equal(0, code)
    local tables = "  weights  7 x 3 f64 dense, 5 rows\n  u        any x 2 i32 sparse, %s rows\n"
    local pattern = "clock %s  [%%d.]+ k?B; run %%x+, 1 shard, 2 workers (2 states), deterministic\n"
      .. "  journal [%%d.]+ kB, to clock 13\n"
    local expected = (pattern:format(5) .. tables:format(5) .. pattern:format(10) .. tables:format(10))
    assert.matches("^" .. expected:gsub("[%(%)]", "%%%0"):gsub(" %- ", " %%- ") .. "$", output)
    local same, status = show(folder .. "/s --check")
    assert.same({ output, 0 }, { same, status })

    local list = require "epact.snapshots".list(folder .. "/s")
    assert.same({ 5, 10, 13, 2, "u", 10 }, { list[1].clock, list[2].clock, list[2].reaches, list[2].states,
      list[2].tables[2].name, list[2].tables[2].rows })
  end)

  it("counts the states of processes without a shard", function()
    outputs(run([[
      given.servers = 1
      epact.run(given, function(w)
        w:state(function() return ("x"):rep(1e5) end, print)
        w:clock()
      end)]], { 2, 1 }, { every = 1 }), 2)
    local list = require "epact.snapshots".list(folder .. "/s")
    assert.equal(2, list[#list].states)
    assert.is_true(list[#list].bytes > 2e5, list[#list].bytes)
  end)

  it("tells which is bad, and why", function()
    epact.run({ workers = 1, snapshot = { every = 1, dir = folder .. "/s" } }, function(w)
      local t = w:table("t", { rows = 9, cols = 9 })
      t:inc(1, 1, 1)
      w:clock()
      w:clock()
    end)
    local file = assert(io.open(folder .. "/s/clock-2.part-0", "r+b"))
    file:seek("set", 300)
    file:write "x"
    file:close()
    local output, code = show(folder .. "/s")
    assert.equal(0, code)
    assert.matches("clock 1  .-\n  t  9 x 9 f64 dense, 1 row\n"
      .. "clock 2  cannot be used: clock%-2%.part%-0: it does not match the checksum in the manifest %[E_CORRUPT%]\n$",
      output)
    assert.equal(1, select(2, show(folder .. "/s --check")))
    local ok, message = pcall(epact.run, { workers = 1, resume = true, snapshot = { every = 1, dir = folder .. "/s" } },
      print)
    assert.is_false(ok)
    assert.matches("clock%-2%.part%-0: it does not match the checksum in the manifest %[E_CORRUPT%]$", message)
    assert.equal(1, (epact.run({ workers = 1, resume = 1, snapshot = { every = 1, dir = folder .. "/s" } },
      function(w) return w:now() end)))
  end)

  it("says what it cannot do", function()
    local missing = ("epact: snapshots.list: cannot look at %s/no: No such file or directory [E_NO_FILE]\n")
      :format(folder)
    assert.same({ missing, 1 }, { show(folder .. "/no") })
    assert.same({ folder .. " has no snapshot\n", 0 }, { show(folder) })
    assert.equal(1, select(2, show(folder .. " --check")))
    assert.equal(2, select(2, show ""))
    local usage, status = show "--help"
    assert.equal(0, status)
    assert.matches("usage: epact launch", usage, 1, true)
    assert.equal(2, select(2, show(folder .. " --chek")))
  end)
end)
