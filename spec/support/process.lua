--- Child processes for specs: run a command, get all it printed and its exit code.
local process = {}

--- One word of a shell command line.
function process.quote(word)
  return "'" .. word:gsub("'", [['\'']]) .. "'"
end

--- Writes `text` to a new temporary file and returns its name.
function process.temporary(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  return name
end

--- Runs a shell command without standard input; errors are mixed into the output.
-- @tparam string command
-- @tparam[opt] table options `seconds` (default 120): it is killed after as many; `input`: text for its standard
-- input; `paths`: whether Lua finds the modules of this checkout
-- @treturn string output
-- @treturn number exit code (124: killed)
function process.run(command, options)
  options = options or {}
  local input = options.input and process.temporary(options.input)
  local environment = ""
  if options.paths then
    local build = os.getenv "EPACT_BUILD" or "build"
    environment = "LUA_PATH='./lua/?.lua;./lua/?/init.lua;;' LUA_CPATH='" .. build .. "/?.so;;'"
  end
  local pipe = assert(io.popen(("{ env %s timeout -k 5 %d bash -c %s; } <%s 2>&1; printf '\\n%%d' $?"):format(
    environment, options.seconds or 120, process.quote(command), input or "/dev/null")))
  local output, code = pipe:read("*a"):match("^(.*)\n(%d+)$")
  pipe:close()
  if input then os.remove(input) end
  return output, tonumber(code)
end

return process
