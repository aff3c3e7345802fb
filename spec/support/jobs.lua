--- Jobs for specs: the same script as several processes, as a user's shell would start them.
local core = require "epact.core"
local process = require "support.process"

local jobs = {}

--- False under a sanitizer, where seconds say nothing.
jobs.timed = not (os.getenv "EPACT_BUILD" or ""):find "san"

-- Starts one process a rank, waits until `ready` lines have come through the pipe, sends a signal if there is one, and
-- waits for all; prints the seconds from the signal to the last end. All are in the process group of the outer
-- `timeout`, which so can end them together.
local driver = [[
cd "$root"
mkfifo "$folder/ready" "$folder/go"
exec 3<>"$folder/ready" 4<>"$folder/go"
for ((rank = 0; rank < size; rank++)); do
  [ "$size" = 1 ] || export EPACT_RANK=$rank EPACT_SIZE=$size EPACT_ROOT=$endpoint
  EPACT_SPEC_READY="$folder/ready" EPACT_SPEC_GO="$folder/go" ${prefix[rank]} luajit "$folder/script.lua" \
    >"$folder/output.$rank" 2>"$folder/errors.$rank" &
  pid[rank]=$!
done
if [ "$together" = true ]; then
  for ((i = 0; i < size; i++)); do read -r -u 3 _; done
  for ((i = 0; i < size; i++)); do echo go >&4; done
fi
for ((i = 0; i < ready; i++)); do read -r -u 3 _; done
begin=$EPOCHREALTIME
if [ -n "$beside" ]; then
  bash -c "$beside"
  for ((i = 0; i < ready; i++)); do echo go >&4; done
fi
for rank in $signalled; do kill -s "$signal" "${pid[rank]}"; done
for ((rank = 0; rank < size; rank++)); do
  code=0
  wait "${pid[rank]}" || code=$?
  echo "$code" >"$folder/code.$rank"
done
echo "$begin $EPOCHREALTIME"
]]

local function contents(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

-- An address nobody else uses: in a new folder, or a port from its random name.
local function endpoint(kind, folder)
  if kind ~= "tcp" then return "ipc://" .. folder .. "/root" end
  return ("tcp://127.0.0.1:%d"):format(20000 + core.C.epact_crc32c(0, folder, #folder) % 12000)
end

--- Runs `text` as a script in `processes` processes, each with its EPACT_RANK.
-- @tparam string text
-- @tparam ?table given `processes` (1), `transport` ("ipc", "tcp"), `seconds` (30) until all are killed; `signal` (a
-- name, sent to the ranks of the list `signalled`, default 0) after `ready` (1) calls of `jobs.ready()`; `root` (an
-- endpoint, instead of one of the transport); `prefix` (by rank from 0: words before the command, as
-- `ip netns exec a env X=1`); `beside` (a shell command, run after the calls of `jobs.ready()`; as many calls of
-- `jobs.await()` wait for its end); `together` (each calls `jobs.together()` first, and waits there for the last)
-- @treturn table by rank from 0: `{ code, output, errors }`; `code` is nil when it was killed
-- @treturn number seconds from the signal (or the start) to the end of the last process
function jobs.run(text, given)
  given = given or {}
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
  local script = assert(io.open(folder .. "/script.lua", "w"))
  script:write(text)
  script:close()
  local size = given.processes or 1
  local ready = (given.signal or given.beside) and (given.ready or 1) or 0
  local settings = ("root=. folder=%s size=%d endpoint=%s ready=%d signal=%s signalled=%s\n"):format(folder, size,
    process.quote(given.root or endpoint(given.transport, folder)), ready, given.signal or "INT",
    given.signal and process.quote(table.concat(given.signalled or { 0 }, " ")) or "''")
  settings = settings .. ("beside=%s together=%s\n"):format(process.quote(given.beside or ""), given.together == true)
  for rank = 0, given.prefix and size - 1 or -1 do
    settings = settings .. ("prefix[%d]=%s\n"):format(rank, process.quote(given.prefix[rank] or ""))
  end
  local build = os.getenv "EPACT_BUILD" or "build"
  local paths = ("export LUA_PATH='./lua/?.lua;./lua/?/init.lua;./spec/?.lua;;' LUA_CPATH='%s/?.so;;'\n"):format(build)
  local said = process.run(settings .. paths .. driver, { seconds = given.seconds or 30 })
  local results = {}
  for rank = 0, size - 1 do
    results[rank] = { code = tonumber(contents(folder .. "/code." .. rank)),
      output = contents(folder .. "/output." .. rank), errors = contents(folder .. "/errors." .. rank) }
  end
  os.execute("rm -rf " .. folder)
  local begin, finish = said:match "(%S+) (%S+)%s*$"
  return results, begin and tonumber(finish) - tonumber(begin)
end

--- Called by a script: it has come to the place where the signal is to find it.
function jobs.ready()
  local pipe = assert(io.open(assert(os.getenv "EPACT_SPEC_READY"), "a"))
  pipe:write "ready\n"
  pipe:close()
end

--- Called by a script: waits until what is done beside the job is over.
function jobs.await()
  local pipe = assert(io.open(assert(os.getenv "EPACT_SPEC_GO")))
  pipe:setvbuf "no" -- one line is this call's
  assert(pipe:read "*l")
  pipe:close()
end

--- Called by all scripts of a job that runs `together`: waits until the last one has started.
function jobs.together()
  jobs.ready()
  jobs.await()
end

return jobs
