--- The scheduler on one core, in CPU time, best of several: luajit spec/bench/sched.lua [seconds a figure] [sizes ...]
--
-- Batches of 64 are drawn and told, at 10^5, 10^6 and 10^7 variables, of which 1 in 100 moves. The design is sparse, 10
-- entries a column; ten columns each have the same rows and correlate by about 0.8, and move together. Beside it, in
-- turn: a binary Fenwick tree, and a walk along all weights for each batch (draws sorted: one walk serves all of them),
-- as STRADS had it; both in Lua over C memory, without the refusal of what was drawn already.
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local epact = require "epact"
local columns = require "epact.kernel.columns"
local core = require "epact.core"
local linear = require "epact.kernel.linear"
local rng = require "epact.rng"
local C, sched = core.C, epact.sched
local patience = tonumber(arg[1]) or 0.5
local sizes = { unpack(arg, 2) }
if #sizes == 0 then sizes = { 1e5, 1e6, 1e7 } end
local batch_size = 64

--- CPU seconds of one call of each of the functions: the least of several rounds, in which each is called in turn.
local function least(list)
  local best, calls = {}, {}
  for i, f in ipairs(list) do
    best[i], calls[i] = math.huge, 1
    local spent
    repeat -- as many calls as take 20 ms
      calls[i] = calls[i] * 2
      local begin = C.epact_thread_cpu()
      for _ = 1, calls[i] do f() end
      spent = C.epact_thread_cpu() - begin
    until spent > 0.02
  end
  local end_of_rounds = C.epact_thread_cpu() + patience * #list
  repeat
    for i, f in ipairs(list) do
      local begin = C.epact_thread_cpu()
      for _ = 1, calls[i] do f() end
      best[i] = math.min(best[i], (C.epact_thread_cpu() - begin) / calls[i])
    end
  until C.epact_thread_cpu() > end_of_rounds
  return best
end

local function steps_of(n, stream)
  local step, moves = linear.zeros(n), false
  for j = 0, n - 1 do
    if j % 10 == 0 then moves = stream:uniform() < 0.01 end
    step[j] = moves and -math.log(1 - stream:uniform()) or 0
  end
  return step
end

-- Tells the policy a step of each variable.
local function tell_all(policy, n, step)
  local vars, deltas = {}, {}
  for first = 0, n - 1, 4096 do
    local count = math.min(4096, n - first)
    for i = count + 1, #vars do vars[i] = nil end
    for i = 1, count do vars[i], deltas[i] = first + i - 1, step[first + i - 1] end
    policy:feed(vars, deltas)
  end
end

local function design(n, rows, entries, stream)
  local X = epact.data.new("sparse", n, rows, n * entries)
  local index, value, start, stride = X.index, X.value, X.start, math.floor(rows / entries)
  for j = 0, n - 1 do
    local at, first = j * entries, (j - j % 10) * entries
    for e = 0, entries - 1 do
      if j % 10 == 0 then
        index[at + e], value[at + e] = e * stride + stride * stream:uniform(), stream:uniform() - 0.5
      else
        index[at + e], value[at + e] = index[first + e], value[first + e] + 0.4 * (stream:uniform() - 0.5)
      end
    end
    start[j + 1] = at + entries
  end
  return X
end

-- A phase: a batch, and the steps told.
local function phase_of(policy, step)
  local deltas = {}
  return function()
    local vars = policy:next(batch_size)
    for i = 1, #vars do deltas[i] = step[vars[i]] end
    policy:feed(vars, deltas)
  end
end

-- tree[i] is the sum of the weights i - lowbit(i) + 1 .. i, from 1.
local function fenwick(n, step, stream)
  local tree, weight, top = linear.zeros(n + 1), linear.zeros(n), 1
  while 2 * top <= n do top = 2 * top end
  local function add(j, change)
    local i = j + 1
    while i <= n do
      tree[i] = tree[i] + change
      i = i + bit.band(i, -i)
    end
  end
  local total = 0
  for j = 0, n - 1 do
    weight[j] = step[j] + 1e-4
    total = total + weight[j]
    tree[j + 1] = tree[j + 1] + weight[j]
    local above = j + 1 + bit.band(j + 1, -(j + 1))
    if above <= n then tree[above] = tree[above] + tree[j + 1] end
  end
  return function()
    for _ = 1, batch_size do
      local at, i, width = stream:uniform() * total, 0, top
      while width >= 1 do
        if i + width <= n and tree[i + width] <= at then
          i = i + width
          at = at - tree[i]
        end
        width = width / 2
      end
      i = math.min(i, n - 1)
      local now = step[i] + 1e-4
      add(i, now - weight[i])
      weight[i] = now
    end
  end
end

local function walk(n, step, stream)
  local total, at = 0, {}
  return function()
    total = 0
    for j = 0, n - 1 do total = total + step[j] + 1e-4 end -- the sum again after each update
    for i = 1, batch_size do at[i] = stream:uniform() * total end
    table.sort(at)
    local sum, j = 0, -1
    for i = 1, batch_size do
      while sum <= at[i] and j < n - 1 do
        j = j + 1
        sum = sum + step[j] + 1e-4
      end
    end
  end
end

local row = "%-10s %11s %11s | %11s %11s %9s %9s | %12s | %10s | %9s"
print(row:format("", "priority", "", "dependency", "", "", "", "Fenwick, Lua", "O(N) walk", "bytes a"))
print(row:format("variables", "us a phase", "variables/s", "us a phase", "phases/s", "in each", "dropped", "us a phase",
  "us a phase", "variable"))
for _, size in ipairs(sizes) do
  local n = tonumber(size)
  jit.flush() -- each size gets traces of its own
  local stream = rng(1)
  local step, X = steps_of(n, stream), design(n, math.max(1000, n / 10), 10, stream)
  local x = columns.new("bench", X)
  local alone, inner = sched.priority { variables = n, seed = 1 }, sched.priority { variables = n, seed = 2 }
  local both = sched.dependency { policy = inner, columns = x }
  tell_all(alone, n, step)
  tell_all(inner, n, step)
  local begun = both:counts()
  local phase, phases = phase_of(both, step), 0
  local best = least { phase_of(alone, step), function()
    phase()
    phases = phases + 1
  end, fenwick(n, step, stream), walk(n, step, stream) }
  local counts = both:counts()
  local function number(format, value) return (format):format(value) end
  print(row:format(number("%d", n), number("%.1f", best[1] * 1e6), number("%.2f M", batch_size / best[1] / 1e6),
    number("%.1f", best[2] * 1e6), number("%.0f", 1 / best[2]),
    number("%.1f", (counts.scheduled - begun.scheduled) / phases),
    number("%.1f", (counts.dropped - begun.dropped) / phases), number("%.1f", best[3] * 1e6),
    number("%.0f", best[4] * 1e6), number("%.2f", alone:bytes() / n)))
end
