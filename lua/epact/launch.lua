--- `epact launch`: starts the processes of a job on this machine or, by ssh, on a list of hosts.
-- @module epact.launch

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local C = core.C

local launch = {}

--- Expands a list of hosts: `n[01-04,7],login` is n01, n02, n03, n04, n7, login.
-- @tparam string list
-- @treturn table
function launch.expand(list)
  local hosts = {}
  local depth, begin = 0, 1
  local function add(name)
    local before, ranges, after = name:match "^([^%[]*)%[([^%]]*)%](.*)$"
    if not before then
      if name:find "[%[%]]" then core.fail("hosts: unbalanced brackets in %q", list) end
      if name ~= "" then hosts[#hosts + 1] = name end
      return
    end
    for range in ranges:gmatch "[^,]+" do
      local low, high = range:match "^(%d+)-(%d+)$"
      low, high = low or range:match "^%d+$", high or range:match "^%d+$"
      if not low or tonumber(low) > tonumber(high) then core.fail("hosts: %q is no range in %q", range, list) end
      for number = tonumber(low), tonumber(high) do
        for _, host in ipairs(launch.expand(before .. ("%0" .. #low .. "d"):format(number) .. after)) do
          hosts[#hosts + 1] = host
        end
      end
    end
  end
  for i = 1, #list + 1 do
    local byte = list:sub(i, i)
    if byte == "[" then depth = depth + 1 end
    if byte == "]" then depth = depth - 1 end
    if (byte == "," or byte == "") and depth == 0 then
      add(list:sub(begin, i - 1))
      begin = i + 1
    end
  end
  if depth ~= 0 then core.fail("hosts: unbalanced brackets in %q", list) end
  return hosts
end

--- Runs command lines as child processes, output prefixed by their rank.
-- @tparam table commands list of lists of words
-- @tparam[opt=10] number grace seconds the others get to end once one has failed
-- @treturn number the worst exit status
function launch.run(commands, grace)
  local words = {}
  for _, command in ipairs(commands) do
    for _, word in ipairs(command) do words[#words + 1] = word end
    words[#words + 1] = false
  end
  local pointers = ffi.new("const char *[?]", #words + 1)
  for i, word in ipairs(words) do pointers[i - 1] = word or nil end
  local raw = ffi.new("epact_launch_options", { count = #commands, words = pointers, grace = grace or 10 })
  local status = ffi.new "int32_t[1]"
  core.check(C.epact_launch(raw, status), "epact launch")
  return status[0]
end

--- Runs a script as `size` processes on this machine.
-- @tparam number size
-- @tparam table script the script and its arguments
-- @treturn number the worst exit status
function launch.here(size, script)
  options.argument("epact launch", "--local", "count", size)
  local root = ("ipc://%s/epact-%d-%d"):format(os.getenv "TMPDIR" or "/tmp", os.time(), tonumber(C.epact_process_id()))
  local commands = {}
  for rank = 0, size - 1 do
    commands[rank + 1] = { "env", "EPACT_RANK=" .. rank, "EPACT_SIZE=" .. size, "EPACT_ROOT=" .. root, "luajit",
      unpack(script) }
  end
  return launch.run(commands)
end

return launch
