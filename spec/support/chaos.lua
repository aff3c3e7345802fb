--- Jobs that are disturbed: a plan drawn from a seed, the job of `chaos_job.lua` as real processes, kills, pauses and
-- cut links while it runs, and a judgement of how it ended. Used by spec/bench/chaos.lua and spec/chaos_spec.lua.
--
-- The plan follows from the seed alone; when exactly a blow falls does not.
local core = require "epact.core"
local epact = require "epact"
local children = require "support.children"

local chaos = { lease = 2 }

local BOUND = 25     -- seconds: a process that is there so long after the last blow hangs
local ROWS = 12
local STALL = 0.5    -- seconds that this process itself stood still: then others may have been lost for it
local ENDLESS = 1000000
local now = core.C.epact_now

-- ---- plans ----

local function pick(rng, list) return list[rng:below(#list) + 1] end

local function blow(rng, kinds, rank, wait)
  local kind = pick(rng, kinds)
  local seconds
  if kind == "pause" then seconds = chaos.lease * 0.3 * rng:uniform() end
  if kind == "stop" then seconds = chaos.lease * (1.6 + rng:uniform()) end
  return { kind = kind, rank = rank, seconds = seconds, wait = wait * rng:uniform() }
end

local makers = {}

-- One that is lost is an error in all others. A third of the jobs are short: then it may come while they end.
function makers.fail(rng, plan)
  plan.clocks = rng:below(3) == 0 and 100 + rng:below(400) or ENDLESS
  if rng:below(3) == 0 then plan.blows[1] = blow(rng, { "pause" }, rng:below(plan.processes), 0.3) end
  local last = blow(rng, { "kill", "kill", "kill", "stop" }, rng:below(plan.processes), 0.6)
  plan.blows[#plan.blows + 1] = last
  if plan.clocks < 1000 and rng:below(4) == 0 then plan.blows[#plan.blows] = nil end
end

-- One without a shard may be lost while the others go on; the loss of a shard is an error.
makers["continue"] = function(rng, plan)
  plan.processes, plan.servers = 3 + rng:below(2), 1 + rng:below(2)
  plan.clocks = 200 + rng:below(600)
  local ranks = {}
  for rank = plan.servers, plan.processes - 1 do ranks[#ranks + 1] = rank end
  rng:shuffle(ranks)
  for i = 1, 1 + rng:below(#ranks) do
    if rng:below(3) == 0 then
      plan.blows[#plan.blows + 1] = blow(rng, { "pause" }, rng:below(plan.processes), 0.2)
    end
    plan.blows[#plan.blows + 1] = blow(rng, { "kill", "kill", "stop" }, ranks[i], 0.3)
  end
  if rng:below(6) == 0 then plan.blows[#plan.blows + 1] = blow(rng, { "kill" }, rng:below(plan.servers), 0.2) end
end

-- As with continue, while others come, some of whom are killed.
function makers.elastic(rng, plan)
  makers["continue"](rng, plan)
  plan.loss, plan.elastic, plan.joins = "continue", true, 1 + rng:below(3)
  for _ = 1, plan.joins do
    local join = blow(rng, { "join" }, plan.processes, 0.2)
    if rng:below(2) == 0 then join.kill = 0.3 * rng:uniform() end
    table.insert(plan.blows, 1 + rng:below(#plan.blows + 1), join)
  end
end

-- Under the launcher, all are started again from the last snapshot.
function makers.restart(rng, plan)
  plan.processes = 2 + rng:below(2)
  plan.clocks, plan.every = 300 + rng:below(300), 10 + rng:below(40)
  plan.durability = pick(rng, { "snapshot", "journal" })
  for i = 1, 1 + rng:below(4) do
    plan.blows[i] = blow(rng, { "kill", "kill", "kill", "kill", "all", "launcher", "pause", "stop" },
      rng:below(plan.processes), 0.7)
  end
end

-- On a machine each; the cable of one is cut, in one direction or both.
function makers.link(rng, plan)
  plan.network, plan.processes = true, 3
  plan.loss = pick(rng, { "fail", "continue" })
  plan.servers = plan.loss == "continue" and 1 or nil
  local cut = blow(rng, { "pause", "stop" }, rng:below(3), 0.3)
  local short = cut.kind == "pause"
  plan.clocks = (short or plan.loss == "continue") and 200 + rng:below(200) or ENDLESS
  cut.kind, cut.direction = short and "flicker" or "cut", pick(rng, { "in", "out", false })
  if plan.loss == "continue" and not short then cut.rank = 1 + rng:below(2) end
  plan.blows[1] = cut
end

--- What a seed stands for.
-- @tparam number seed
-- @tparam table modes of "fail", "continue", "restart", "link"
function chaos.plan(seed, modes)
  local rng = epact.rng(seed, 77)
  local plan = { seed = seed, mode = pick(rng, modes), blows = {}, processes = 2 + rng:below(3),
    workers = 1 + rng:below(2), staleness = rng:below(4), sparse = rng:below(2),
    transport = pick(rng, { "ipc", "tcp" }) }
  plan.loss, plan.push = plan.mode, rng:below(3) == 0 and 1 or 0
  if rng:below(5) == 0 then plan.deterministic, plan.staleness = 1, 0 end
  makers[plan.mode](rng, plan)
  if plan.loss == "continue" then plan.deterministic = nil end
  for _, b in ipairs(plan.blows) do -- some last about as long as a lease: then either is right, and nothing between
    if (b.kind == "stop" or b.kind == "cut") and plan.mode ~= "restart" and rng:below(4) == 0 then
      b.edge, b.seconds = true, chaos.lease * (0.85 + 0.4 * rng:uniform())
      if plan.clocks == ENDLESS then plan.clocks = 150 + rng:below(300) end
    end
  end
  plan.cols = (plan.processes + (plan.joins or 0)) * plan.workers
  return plan
end

local function describe(plan)
  local blows = {}
  for i, b in ipairs(plan.blows) do
    blows[i] = ("%s rank %d%s%s"):format(b.kind, b.rank, b.seconds and (" for %.1f s"):format(b.seconds) or "",
      b.direction and " (" .. b.direction .. ")" or b.edge and " (edge)" or "")
  end
  return ("%s%s: %d processes x %d workers, %s servers, staleness %d, %s clocks%s; %s"):format(plan.mode,
    plan.mode ~= plan.loss and " " .. plan.loss or "", plan.processes, plan.workers, plan.servers or "all",
    plan.staleness, plan.clocks, plan.durability and ", " .. plan.durability or "", table.concat(blows, ", "))
end

-- ---- one trial, a coroutine ----

local trial_methods = {}
local trial_class = { __index = trial_methods }

-- Waits until `condition()`, but for `seconds` at most.
local function wait(seconds, condition)
  local deadline = now() + seconds
  while not (condition and condition()) do
    if now() >= deadline then return false end
    coroutine.yield()
  end
  return true
end

function trial_methods:fail(kind, message, ...)
  self.failures[#self.failures + 1] = { kind = kind, text = message:format(...) }
end

function trial_methods:job_words()
  local plan = self.plan
  local words = { "luajit", "spec/support/chaos_job.lua", "seed=" .. plan.seed, "workers=" .. plan.workers,
    "staleness=" .. plan.staleness, "lease=" .. chaos.lease, "timeout=60", "loss=" .. plan.loss, "rows=" .. ROWS,
    "clocks=" .. plan.clocks, "pace=1000", "sparse=" .. plan.sparse,
    "push=" .. plan.push, "cols=" .. plan.cols, "elastic=" .. (plan.elastic and 1 or 0),
    "deterministic=" .. (plan.deterministic or 0) }
  if plan.servers then words[#words + 1] = "servers=" .. plan.servers end
  if plan.mode == "restart" then
    words[#words + 1] = "dir=" .. self.folder .. "/snapshots"
    words[#words + 1] = "every=" .. plan.every
    words[#words + 1] = "durability=" .. plan.durability
  end
  return words
end

local build = os.getenv "EPACT_BUILD" or "build"
local paths = { LUA_PATH = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;", LUA_CPATH = build .. "/?.so;;" }

local function environment(more)
  local all = {}
  for name, value in pairs(paths) do all[name] = value end
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

function trial_methods:start(words, more)
  local child = children.start(words, environment(more))
  self.children[#self.children + 1] = child
  return child
end

local port = 0 -- the last one used here

function trial_methods:root()
  local plan = self.plan
  port = port + 1
  local number = 20000 + (tonumber(core.C.epact_process_id()) * 37 + port) % 10000
  if plan.network then return ("tcp://%s:%d"):format(self.network.address[0], number) end
  return plan.transport == "ipc" and ("ipc://%s/root"):format(self.folder) or ("tcp://127.0.0.1:%d"):format(number)
end

function trial_methods:start_ranks()
  local root = self:root()
  self.ranks, self.joined, self.address = {}, {}, root
  for rank = 0, self.plan.processes - 1 do
    local words = self:job_words()
    if self.network then words = { "ip", "netns", "exec", self.network.name[rank], unpack(words) } end
    self.ranks[rank] = self:start(words, { EPACT_RANK = rank, EPACT_SIZE = self.plan.processes, EPACT_ROOT = root,
      EPACT_INSECURE = self.network and 1 or nil })
  end
  return wait(BOUND, function()
    for rank = 0, self.plan.processes - 1 do
      local child = self.ranks[rank]
      if not child.output:find "ready" and not child.ended then return false end
    end
    return true
  end)
end

-- When the others had said of `rank` that they go on without it.
local function given_up(self, rank)
  return self.ranks[0].errors:find(("rank %d was lost"):format(rank), 1, true) ~= nil
end

function trial_methods:shell(command)
  local child = self:start({ "bash", "-c", command })
  if not wait(10, function() return child:is_over() end) or child.code ~= 0 then
    error("cannot change the network: " .. child.errors)
  end
end

function trial_methods:note(b, seconds)
  self.events[#self.events + 1] = { mode = self.plan.mode, kind = b.kind, seconds = seconds }
end

-- One more process, which may be killed soon after it came.
function trial_methods:strike_join(b)
  if self.ranks[0].ended or self.ranks[0].output:find "sums" then return end
  local child = self:start(self:job_words(), { EPACT_JOIN = 1, EPACT_ROOT = self.address })
  b.child, self.joined[#self.joined + 1] = child, b
  if b.kill then
    wait(b.kill)
    b.killed = not child.ended
    child:send "KILL"
  end
end

-- Strikes one rank; `b.at`: when, unless it was over by then.
function trial_methods:strike(b)
  local child = self.ranks[b.rank]
  wait(b.wait)
  if b.kind == "join" then return self:strike_join(b) end
  if child.ended or child.output:find "sums" then return end
  b.at = now()
  if b.kind == "kill" then
    child:send "KILL"
  elseif b.kind == "pause" or b.kind == "stop" then
    child:send "STOP"
    wait(b.seconds)
    child:send "CONT"
    b.healed = now()
  else
    self:shell(self.network:partition_command(b.rank, b.direction or nil))
    self.cut = b.rank
    wait(b.seconds)
    self:shell(self.network:heal_command(b.rank))
    self.cut, b.healed = nil, now()
  end
  b.lasts = b.kind == "kill" or b.kind == "stop" or b.kind == "cut" -- of an edge it is known in the end
end

--- The integers in a text.
function chaos.numbers(text)
  local list = {}
  for word in text:gmatch "%d+" do list[#list + 1] = tonumber(word) end
  return list
end

-- The last sums a process has printed, as cells in the order of rows.
local function sums_of(text)
  local last
  for line in text:gmatch "sums ([%d ]+)" do last = line end
  return last and chaos.numbers(last)
end

--- Whether cells (row by row, of all workers) are right: those of workers that were never lost are all `clocks`; of one
-- that was lost, the rows of one shard have the same number of whole clocks.
-- @tparam table plan `processes`, `workers`, `servers`, `clocks`
-- @tparam table cells
-- @tparam table lost by rank
-- @tparam ?table joined the clocks that a worker which joined has made, by worker; of others that came nothing is known
-- @treturn ?string what is wrong
function chaos.judge_sums(plan, cells, lost, joined)
  local slots, servers = plan.cols or plan.processes * plan.workers, plan.servers or plan.processes
  if #cells == 0 or #cells % slots ~= 0 then return ("%d cells"):format(#cells) end
  for row = 0, #cells / slots - 1 do
    for q = 0, slots - 1 do
      local value, rank = cells[row * slots + q + 1], math.floor(q / plan.workers)
      local want = plan.clocks
      if rank >= plan.processes then want = joined and joined[q] end
      if lost[rank] or not want then
        local same = cells[row % servers * slots + q + 1] -- a row of the same shard
        if value ~= same or value > plan.clocks then
          return ("row %d has %d clocks of lost worker %d, row %d has %d"):format(row, value, q, row % servers, same)
        end
      elseif value ~= want then
        return ("row %d has %d of %d clocks of worker %d"):format(row, value, want, q)
      end
    end
  end
end

function trial_methods:await_end()
  local over = wait(BOUND, function()
    for _, child in ipairs(self.children) do
      if not child:is_over() then return false end
    end
    return true
  end)
  if over then return end
  for _, child in ipairs(self.children) do
    if not child:is_over() then
      self:fail("hang", "process %d (%s) is there %d s after the last blow", child.pid,
        child == self.launcher and "launcher" or child.output:match "rank %d+" or "?", BOUND)
      child:close()
      child.hung = true
    end
  end
end

-- A process that ended by a signal nobody sent, or says itself that something is wrong.
local function judge_text(self, child, killed)
  if child.hung then return end
  local text = child.output .. child.errors
  local wrong = text:match "WRONG[^\n]*"
  if wrong then self:fail("wrong", "%s", wrong) end
  if child.signal and not killed then self:fail("crash", "ended by signal %d: %s", child.signal, child.errors) end
  if text:find("attempt to", 1, true) then self:fail("crash", "%s", child.errors) end
end

local function judge_survivor(self, rank, child, lost, server_lost)
  if child.hung then return end
  if child.code == 0 then
    local cells = sums_of(child.output)
    local wrong = cells and chaos.judge_sums(self.plan, cells, lost, self.joined_clocks) or not cells and "no sums"
    if wrong then self:fail("wrong", "rank %d: %s", rank, wrong) end
    local text = cells and table.concat(cells, " ")
    if self.agreed and text ~= self.agreed then self:fail("wrong", "rank %d has other sums than the others", rank) end
    self.agreed = self.agreed or text
    return
  end
  local is_loss = child.errors:find("[E_LOST]", 1, true) or child.errors:find("[E_FENCED]", 1, true)
  if server_lost and is_loss then return end
  self:fail(is_loss and "loss" or "error", "rank %d ended with %s: %s", rank, tostring(child.code), child.errors)
end

-- Whether the others have lost a process whose blow was about as long as a lease.
local function has_lasted(self, b)
  if self.plan.loss == "continue" and b.rank >= self.plan.servers then return given_up(self, b.rank) end
  for _, child in pairs(self.ranks) do
    if child.errors:find("[E_LOST]", 1, true) then return true end
  end
  return false
end

-- The lost ones by rank, and whether that ends the job.
local function losses(self)
  local lost, fatal = {}, nil
  for _, b in ipairs(self.plan.blows) do
    if b.edge and b.at then b.lasts = has_lasted(self, b) end
    if b.at and b.lasts then
      lost[b.rank] = b
      if self.plan.loss == "fail" or b.rank < self.plan.servers then fatal = fatal or b end
    end
  end
  return lost, fatal
end

local function judge_latency(self, b)
  local last = 0
  for rank, child in pairs(self.ranks) do
    if rank ~= b.rank and child.code == 1 then last = math.max(last, child.ended - b.at) end
  end
  if last > 0 then self:note(b, last) end
end

-- What is known of those that joined: their clocks, when they went on to the end.
local function judge_joined(self, fatal)
  self.joined_clocks = {}
  for _, b in ipairs(self.joined) do
    local clock, id = b.child.output:match "ready at clock (%d+) as worker (%d+)"
    if b.child.code == 0 then
      for q = id, id + self.plan.workers - 1 do self.joined_clocks[q] = math.max(0, self.plan.clocks - clock) end
      self:note(b)
    elseif not b.killed and id and not fatal then
      self:fail("error", "worker %s, which joined, ended with %s: %s", id, tostring(b.child.code), b.child.errors)
    end
    judge_text(self, b.child, b.killed)
  end
end

function trial_methods:judge()
  local plan, lost, fatal = self.plan, losses(self)
  judge_joined(self, fatal)
  for rank = 0, plan.processes - 1 do
    local child = self.ranks[rank]
    judge_text(self, child, lost[rank] and lost[rank].kind == "kill")
    if not lost[rank] then
      judge_survivor(self, rank, child, lost, fatal)
      if fatal and plan.clocks == ENDLESS and child.code ~= 1 and not child.hung then
        self:fail("missed", "rank %d ended with %s though rank %d was lost", rank, tostring(child.code), fatal.rank)
      end
    elseif child.code == 0 then -- it had finished when it was stopped
      judge_survivor(self, rank, child, lost, fatal)
    elseif not child.signal and not child.errors:find "%[E_%u+%]" then
      self:fail("error", "rank %d, which was lost, ended with %s: %s", rank, tostring(child.code), child.errors)
    end
  end
  if fatal then judge_latency(self, fatal) end
end

function trial_methods:run_ranks()
  local watched = {}
  if not self:start_ranks() then return self:fail("hang", "the processes did not begin") end
  for _, b in ipairs(self.plan.blows) do
    if self.plan.loss == "continue" then -- when do the others know?
      self.ranks[0].on_text = function()
        for _, w in ipairs(watched) do
          if w.at and w.lasts ~= false and not w.known and given_up(self, w.rank) then
            w.known = now()
            self:note(w, w.known - w.at)
          end
        end
      end
      watched[#watched + 1] = b
    end
    self:strike(b)
    if b.at and not b.lasts then self:note(b) end
  end
  self:await_end()
  self:judge()
end

-- ---- under the launcher ----

local function is_running(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return false end
  local state = file:read("*a"):match "%) (%a)"
  file:close()
  return state ~= "Z"
end

-- The processes of the newest attempt, by rank.
local function newest(text)
  local pids, attempt = {}, -1
  for pid, rank, number in text:gmatch "process (%d+) rank (%d+) attempt (%d+)\n" do
    if tonumber(number) > attempt then pids, attempt = {}, tonumber(number) end
    pids[tonumber(rank)] = tonumber(pid)
  end
  return pids, attempt
end

local function count_ready(text)
  local count = 0
  for _ in text:gmatch "ready at clock" do count = count + 1 end
  return count
end

function trial_methods:launch()
  local words = { "luajit", "lua/epact/bin/epact", "launch", "--local", self.plan.processes, "--restarts", 20 }
  if self.plan.transport == "tcp" then
    words[#words + 1] = "--port"
    words[#words + 1] = self:root():match "%d+$" or 20000 + self.plan.seed % 9999
  end
  local job = self:job_words()
  for i = 2, #job do words[#words + 1] = job[i] end
  self.launcher = self:start(words)
  return self.launcher
end

local function all_known(self)
  local pids = newest(self.launcher.output)
  for rank = 0, self.plan.processes - 1 do
    if not pids[rank] then return nil end
  end
  return pids
end

local function none_runs(pids)
  for _, pid in pairs(pids) do
    if is_running(pid) then return false end
  end
  return true
end

-- One blow; true when it should make the job begin again.
function trial_methods:strike_launched(b)
  local launcher = self.launcher
  wait(BOUND, function() return launcher.ended or all_known(self) end)
  wait(b.wait, function() return launcher.ended end)
  local pids = all_known(self)
  if launcher.ended or launcher.output:find "sums" or not pids then return false end
  local pid = pids[b.rank]
  if not is_running(pid) then return false end
  local signals = children.signals
  b.at, b.ready = now(), count_ready(launcher.output)
  if b.kind == "kill" then
    children.signal(pid, signals.KILL)
  elseif b.kind == "all" then
    for _, each in pairs(pids) do children.signal(each, signals.KILL) end
  elseif b.kind == "launcher" then
    launcher:send "KILL"
    if not wait(BOUND, function() return none_runs(pids) end) then
      self:fail("hang", "processes outlive their launcher")
      for _, each in pairs(pids) do children.signal(each, signals.KILL) end
    end
    judge_text(self, launcher, true)
    b.ready = 0
    self:launch()
  else
    local _, attempt = newest(launcher.output)
    children.signal(pid, signals.STOP)
    wait(b.seconds, function() return select(2, newest(launcher.output)) > attempt end)
    if is_running(pid) then children.signal(pid, signals.CONT) end
    if b.kind == "pause" then
      self:note(b)
      return false
    end
  end
  return true
end

function trial_methods:run_launched()
  self:launch()
  for _, b in ipairs(self.plan.blows) do
    if self:strike_launched(b) then
      -- Going on: a worker of each process of a later attempt has begun.
      local size = self.plan.processes
      local function goes_on()
        return count_ready(self.launcher.output) >= (math.floor(b.ready / size) + 1) * size
      end
      if wait(BOUND, function() return self.launcher.ended or goes_on() end) then
        self:note(b, goes_on() and now() - b.at or nil)
      end
    end
  end
  self:await_end()
  local launcher = self.launcher
  judge_text(self, launcher, false)
  if launcher.hung then return end
  if launcher.code ~= 0 then
    self:fail("error", "the launcher ended with %s: %s", tostring(launcher.code), launcher.errors)
    return
  end
  for rank = 0, self.plan.processes - 1 do
    local text = launcher.output:match(("%%[%d%%] sums ([%%d ]+)"):format(rank))
    local wrong = text and chaos.judge_sums(self.plan, chaos.numbers(text), {}) or not text and "no sums"
    if wrong then self:fail("wrong", "rank %d: %s", rank, wrong) end
  end
end

local function run_trial(self)
  if self.plan.mode == "restart" then self:run_launched() else self:run_ranks() end
end

local function new_trial(plan, networks)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
  local self = setmetatable({ plan = plan, folder = folder, network = plan.network and table.remove(networks),
    children = {}, failures = {}, events = {}, stall = 0, begin = now() }, trial_class)
  self.routine = coroutine.create(run_trial)
  return self
end

local function end_trial(self)
  for _, child in ipairs(self.children) do child:close() end
  if self.cut then os.execute(self.network:heal_command(self.cut)) end
  os.execute("rm -rf " .. self.folder)
  self.seconds = now() - self.begin
  -- Who was not heard for as long as this machine stood still was rightly lost.
  if self.stall > STALL then
    for _, f in ipairs(self.failures) do
      if f.kind == "loss" then f.kind = "stall" end
    end
  end
end

--- Runs trials beside each other.
-- @tparam function next_plan returns the next plan, or nil when there is none
-- @tparam table o `beside` (trials at a time), `networks` (of three machines; a link trial takes one), `on_end` (called
-- with each trial: `plan`, `failures`, `events`, `seconds`)
function chaos.run(next_plan, o)
  local running, waiting, looked = {}, nil, now()
  while true do
    while #running < o.beside do
      local plan = waiting or next_plan()
      waiting = nil
      if not plan then break end
      if plan.network and #o.networks == 0 then
        waiting = plan
        break
      end
      running[#running + 1] = new_trial(plan, o.networks)
    end
    if #running == 0 then return end
    local list, pause = {}, now() - looked
    for _, trial in ipairs(running) do
      for _, child in ipairs(trial.children) do
        if not child:is_over() then list[#list + 1] = child end
      end
      trial.stall = math.max(trial.stall, pause)
    end
    looked = now()
    children.poll(list, 0.005)
    for i = #running, 1, -1 do
      local trial = running[i]
      local ok, message = coroutine.resume(trial.routine, trial)
      if not ok then trial:fail("error", "%s", debug.traceback(trial.routine, tostring(message))) end
      if not ok or coroutine.status(trial.routine) == "dead" then
        end_trial(trial)
        table.remove(running, i)
        if trial.network then table.insert(o.networks, trial.network) end
        o.on_end(trial)
      end
    end
  end
end

chaos.describe = describe
return chaos
