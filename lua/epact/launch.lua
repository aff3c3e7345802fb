--- `epact launch`: starts the processes of a job on this machine or, by ssh, on a list of hosts; and starts them
-- again, from the last snapshot, when one was lost.
-- @module epact.launch

local ffi = require "ffi"
local cluster = require "epact.cluster"
local core = require "epact.core"
local hosts = require "epact.hosts"
local C = core.C

local launch = {}

-- What every process runs in: `sh -c guard epact PROGRAM ARGUMENTS`. The shell becomes the program; a shell beside it
-- reads the names of signals from the launcher, and ends the program when the launcher is gone, however that ended.
-- In one line, which a user's csh takes too.
local guard = 'exec 3<&0 </dev/null; ' ..
  '{ trap "" TERM; while read -r word; do kill -s "$word" $$; done; ' ..
  'kill -s TERM $$ && sleep 2 && kill -s KILL 0; } <&3 3<&- >/dev/null 2>&1 & exec "$@" 3<&-'

-- On another machine a shell outside of it tells by its status which signal ended the program; ssh itself has 255.
local outside = 'cd "$1" || exit 72; shift; sh -c "$0" epact "$@"; ' ..
  'status=$?; [ $status = 255 ] && status=254; exit $status'

-- Variables that go to other machines: those that change how a script runs.
local passed = { "^EPACT_", "^LUA_", "^OMP_", "^OPENBLAS_", "^LD_LIBRARY_PATH=" }

-- One word of a shell's command line.
local function quote(word)
  return "'" .. word:gsub("'", [['\'']]) .. "'"
end

-- The environment for another machine, as NAME=value.
local function environment(names)
  local list, index = {}, 0
  while true do
    local raw = C.epact_environment(index)
    if raw == nil then break end
    local variable = ffi.string(raw)
    for _, pattern in ipairs(passed) do
      if variable:find(pattern) then
        list[#list + 1] = variable
        break
      end
    end
    index = index + 1
  end
  for _, name in ipairs(names) do
    if name:find "^[%a_][%w_]*=" then
      list[#list + 1] = name
    else
      list[#list + 1] = name .. "=" .. os.getenv(name)
    end
  end
  return list
end

-- The same folder is meant on every machine: its name, as the user's shell has it.
local function folder()
  local pipe = assert(io.popen "pwd")
  local name = pipe:read "*l"
  pipe:close()
  return name
end

-- The words that start `program` (a list: env, variables, luajit, ...) on `host` by the user's `ssh`.
local function remote_words(ssh, host, where, program)
  local words = { "sh", "-c", quote(outside), quote(guard), quote(where) }
  for _, word in ipairs(program) do words[#words + 1] = quote(word) end
  local command = { "sh", "-c", "exec " .. ssh .. ' "$@"', "ssh" }
  if ssh:match "^%S+":match "[^/]*$" == "ssh" then
    for _, word in ipairs { "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10" } do
      command[#command + 1] = word
    end
  end
  command[#command + 1] = host
  command[#command + 1] = table.concat(words, " ")
  return command
end

--- Runs command lines as child processes, output prefixed by their rank.
-- @tparam table commands list of lists of words; `remote = true` in one: its process is on another machine
-- @tparam ?boolean again whether one that is lost ends the others at once, as they would be started again
-- @tparam[opt=10] number grace seconds the others get to end by themselves when one has failed; math.huge: for ever
-- @treturn epact_launch_end how they ended
function launch.run(commands, again, grace)
  local words, remote = {}, ffi.new("uint8_t[?]", #commands)
  for i, command in ipairs(commands) do
    for _, word in ipairs(command) do words[#words + 1] = word end
    words[#words + 1] = false
    remote[i - 1] = command.remote and 1 or 0
  end
  local pointers = ffi.new("const char *[?]", #words + 1)
  for i, word in ipairs(words) do pointers[i - 1] = word or nil end
  local raw = ffi.new("epact_launch_options",
    { count = #commands, words = pointers, remote = remote, grace = grace or 10,
      again = again and 1 or 0 })
  local finish = ffi.new "epact_launch_end"
  core.check(C.epact_launch(raw, finish), "epact launch")
  return finish
end

local function commands_of(job, attempt)
  local commands, here = {}, job.remote and folder()
  for i, host in ipairs(job.places) do
    local program = { "env" }
    local remote = host ~= "localhost"
    for _, variable in ipairs(remote and environment(job.env or {}) or job.env or {}) do
      if variable:find "=" then program[#program + 1] = variable end -- others are inherited
    end
    local own = { EPACT_RANK = i - 1, EPACT_SIZE = #job.places, EPACT_ROOT = job.root, EPACT_WORKERS = job.workers,
      EPACT_RESTART = job.restarts > 0 and attempt or nil }
    for _, name in ipairs { "EPACT_RANK", "EPACT_SIZE", "EPACT_ROOT", "EPACT_RESTART", "EPACT_WORKERS" } do
      if own[name] then program[#program + 1] = name .. "=" .. own[name] end
    end
    program[#program + 1] = "EPACT_JOIN=" -- of the launcher's own shell, perhaps
    program[#program + 1] = "luajit"
    for _, word in ipairs(job.script) do program[#program + 1] = word end
    local command = remote and remote_words(job.ssh, host, here, program) or
      { "sh", "-c", guard, "epact", unpack(program) }
    command.remote = remote
    commands[i] = command
  end
  return commands
end

local function say(message, ...)
  io.stderr:write("epact: ", message:format(...), "\n")
end

-- How the first that ended badly did so, in words.
local function reason(job, finish)
  local host = job.places[finish.rank + 1]
  local name = host == "localhost" and ("rank %d"):format(finish.rank) or
    ("rank %d on %s"):format(finish.rank, host)
  if finish.signal ~= 0 then return ("%s ended by signal %d"):format(name, finish.signal) end
  return ("%s ended with status %d"):format(name, finish.exit_status)
end

-- Addresses in the file system outlive a process that was killed.
local function remove_sockets(job)
  local path = job.root:match "^ipc://(.*)$"
  if not path then return end
  os.remove(path)
  for rank = 1, #job.places - 1 do os.remove(path .. "." .. rank) end
end

--- Runs a job to its end.
-- @tparam table job `places` (the host of each process; `localhost` is this machine, without ssh), `root` (the
-- address of rank 0), `script` (it and its arguments), `workers` (of each process), `ssh` (a command), `env` (names of
-- variables, or NAME=value), `restarts` (how often all are started again when one was lost), `grace` (seconds
-- the others get when one has failed)
-- @treturn number the worst exit status
function launch.job(job)
  for attempt = 0, job.restarts do
    local left = job.restarts - attempt
    local finish = launch.run(commands_of(job, attempt), job.restarts > 0, job.grace)
    remove_sockets(job)
    local lost = finish.lost ~= 0 and finish.interrupted == 0
    if not lost or left == 0 then
      local host = job.places[finish.rank + 1]
      if finish.interrupted == 0 and finish.exit_status == 255 and host ~= "localhost" then
        say("host %s (rank %d) was not reached, or the connection to it broke", host, finish.rank)
      elseif lost and job.restarts > 0 then
        say("%s, and no start is left of %d", reason(job, finish), attempt)
      end
      return finish.status
    end
    say("%s: starting again from the last snapshot (%d of %d)", reason(job, finish), attempt + 1, job.restarts)
  end
end

-- Between the ports of services and those that outgoing connections get.
local function some_port()
  return 20000 + (os.time() * 31 + tonumber(C.epact_process_id())) % 10000
end

-- The address of rank 0, which the other hosts must reach.
local function root_of(places, port)
  local first = places[1]:match "[^@]*$"
  local function is_loopback(host) return host == "localhost" or host:find "^127%." ~= nil end
  if is_loopback(first) then
    for _, host in ipairs(places) do
      local name = host:match "[^@]*$"
      if not is_loopback(name) then
        core.fail("hosts: %s cannot reach rank 0 on %s: give the first host the name that the others know", name, first)
      end
    end
  end
  return ("tcp://%s:%d"):format(first, port)
end

--- Reads what the command line says into a job.
-- @tparam table o `local` or `hosts`, `port`, `ssh`, `env`, `workers`, `restarts`, `rest` (the script)
-- @treturn table for `launch.job`
function launch.plan(o)
  local job = { script = o.rest, workers = o.workers, ssh = o.ssh, env = o.env, restarts = o.restarts,
    grace = o.grace, places = {} }
  for _, name in ipairs(o.env) do
    if not name:find "^[%a_][%w_]*$" and not name:find "^[%a_][%w_]*=" then
      core.fail("--env must be a name or NAME=value, got %q", name)
    end
    if not name:find "=" and not os.getenv(name) then core.fail("--env %s: it is not set here", name) end
  end
  if o.hosts then
    local port
    job.places, port = hosts.read(o.hosts)
    job.root = root_of(job.places, o.port or port or some_port())
    for _, host in ipairs(job.places) do job.remote = job.remote or host ~= "localhost" end
    return job
  end
  for rank = 0, o["local"] - 1 do job.places[rank + 1] = "localhost" end
  job.root = o.port and ("tcp://127.0.0.1:%d"):format(o.port) or
    ("ipc://%s/%d-%d"):format(cluster.folder(), os.time(), tonumber(C.epact_process_id()))
  return job
end

return launch
