--- What a pool's thread runs: one task after another on the same worker.
--
-- A task is `{ worker = address, task = shipped function, arguments = {...}, finish = boolean }`.
-- @module epact.thread

local buffer = require "string.buffer"
local ship = require "epact.ship"
local worker_module = require "epact.worker"

local thread = {}

local own_directory = debug.getinfo(1, "S").short_src:match "^(.*[/\\])[^/\\]*$" or "epact"

-- The workers of a process share its output, and the C library locks it for one write at a time: a line is one write.
function print(...) -- luacheck: globals print
  local line = {}
  for i = 1, select("#", ...) do line[i] = tostring((select(i, ...))) end
  io.stdout:write(table.concat(line, "\t") .. "\n")
end

local workers = {} -- by address: a worker keeps its tables between the tasks of a pool
local held         -- the last outcome, so that data sets in it live until they were taken over

-- The traceback of the user's own frames: those of this package are the same for every task.
local function traceback(message)
  if type(message) == "table" and not getmetatable(message) then
    message = ("an error that is a table: %s"):format(tostring(message.message or message.msg or message[1] or message))
  elseif type(message) ~= "string" then
    message = ("an error that is a %s: %s"):format(type(message), tostring(message))
  end
  if message:find "global '[%w_]+' %(a nil value%)$" then
    message = message .. ": globals of the script are not in a worker's state, make it a local of the script"
  end
  local lines = {}
  for line in debug.traceback("", 2):gmatch "\n\t([^\n]+)" do
    local internal = line:find(own_directory, 1, true) or line:find "%[C%]: in function 'x?[pe]"
    if not internal then
      lines[#lines + 1] = "\n\t" .. line
    end
  end
  return message .. (lines[1] and "\nstack traceback:" or "") .. table.concat(lines)
end

local function run(encoded)
  local task = buffer.decode(encoded)
  local worker = workers[task.worker]
  if not worker then
    worker = worker_module.adopt(task.worker, task.options)
    workers[task.worker] = worker
  end
  local results = {}
  if task.task then
    local f = ship.decode(task.task)
    held = { f(worker) }
    results = ship.encode(held, "result")
  end
  if task.finish then worker:finish() end
  return buffer.encode { results = task.task and results, stats = worker:stats(), room = worker:room() }
end

--- Called by the pool: runs a task, catches its errors.
-- @tparam string encoded
-- @treturn boolean
-- @treturn string outcome, or message and traceback
function thread.run(encoded)
  local ok, outcome = xpcall(run, traceback, encoded)
  if not ok and type(outcome) ~= "string" then outcome = "an error that is no string: " .. tostring(outcome) end
  return ok, outcome
end

return thread
