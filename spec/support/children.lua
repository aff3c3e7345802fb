--- Child processes that run beside each other and can be signalled one by one: what they print is read as it comes.
-- They end with the process that started them, however that ends.
local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
typedef struct { int fd; short events, revents; } epact_spec_pollfd;
int fork(void);
int execvp(const char *file, const char *const *argv);
void _exit(int status);
int kill(int pid, int signal);
int waitpid(int pid, int *status, int options);
int getppid(void);
int setpgid(int pid, int group);
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int pipe2(int *fds, int flags);
int dup2(int from, int to);
int open(const char *path, int flags, ...);
int close(int fd);
int poll(epact_spec_pollfd *fds, unsigned long count, int milliseconds);
ssize_t read(int fd, void *to, size_t bytes);
]]
local C = ffi.C

local O_CLOEXEC, O_RDONLY, WNOHANG, PR_SET_PDEATHSIG, SIGKILL = 0x80000, 0, 1, 1, 9
local POLLIN, POLLHUP = 1, 16

local children = { signals = { KILL = 9, STOP = 19, CONT = 18, INT = 2, TERM = 15 } }
local methods = {}
local class = { __index = methods }
local chunk = ffi.new "char[65536]"

local function now() return require("epact.core").C.epact_now() end

-- In the child, between fork and exec.
local function become(argv, input, out, err)
  C.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
  C.setpgid(0, 0)
  C.dup2(input, 0)
  C.dup2(out, 1)
  C.dup2(err, 2)
  C.execvp(argv[0], argv)
  C._exit(127)
end

--- Starts a command.
-- @tparam table words
-- @tparam ?table environment values by name
-- @treturn table `pid`, `output` and `errors` (so far), `ended` (in the library's seconds), and then `code`
-- or `signal`
function children.start(words, environment)
  local list = { "env" }
  for name, value in pairs(environment or {}) do list[#list + 1] = name .. "=" .. tostring(value) end
  for _, word in ipairs(words) do list[#list + 1] = tostring(word) end
  local argv = ffi.new("const char *[?]", #list + 1)
  for i, word in ipairs(list) do argv[i - 1] = word end
  local out, err, input = ffi.new "int[2]", ffi.new "int[2]", C.open("/dev/null", O_RDONLY + O_CLOEXEC)
  if input < 0 or C.pipe2(out, O_CLOEXEC) ~= 0 or C.pipe2(err, O_CLOEXEC) ~= 0 then error "no descriptors are left" end
  local pid = C.fork()
  if pid == 0 then become(argv, input, out[1], err[1]) end
  C.close(input)
  C.close(out[1])
  C.close(err[1])
  if pid < 0 then error "cannot fork" end
  return setmetatable({ pid = pid, fd = { output = out[0], errors = err[0] }, output = "", errors = "",
    started = now() }, class)
end

local function read_stream(child, stream)
  local got = tonumber(C.read(child.fd[stream], chunk, ffi.sizeof(chunk)))
  if got > 0 then
    child[stream] = child[stream] .. ffi.string(chunk, got)
    if child.on_text then child.on_text(child, stream) end
  else
    C.close(child.fd[stream])
    child.fd[stream] = nil
  end
end

local status = ffi.new "int[1]"

local function reap(child)
  if child.ended or C.waitpid(child.pid, status, WNOHANG) ~= child.pid then return end
  child.ended = now()
  local signal = bit.band(status[0], 127)
  if signal ~= 0 then child.signal = signal else child.code = bit.band(bit.rshift(status[0], 8), 255) end
end

--- Waits until one of them has said something or ended, but for `seconds` at most.
function children.poll(list, seconds)
  local fds, owners, known = ffi.new("epact_spec_pollfd[?]", 2 * #list + 1), {}, {}
  for _, child in ipairs(list) do
    for stream, fd in pairs(known[child] and {} or child.fd) do
      fds[#owners].fd, fds[#owners].events = fd, POLLIN
      owners[#owners + 1] = { child, stream }
    end
    known[child] = true -- one may be in the list twice
  end
  C.poll(fds, #owners, math.ceil(seconds * 1000))
  for i, owner in ipairs(owners) do
    if bit.band(fds[i - 1].revents, POLLIN + POLLHUP) ~= 0 then read_stream(owner[1], owner[2]) end
  end
  for _, child in ipairs(list) do reap(child) end
end

--- Sends a signal, by its number, to any process.
function children.signal(pid, number) C.kill(pid, number) end

--- Sends a signal by its name; nothing happens to one that has ended.
function methods:send(name)
  if not self.ended then C.kill(self.pid, children.signals[name]) end
end

--- Kills it, with what it has started, and waits for its end.
function methods:close()
  if not self.ended then
    C.kill(-self.pid, SIGKILL)
    C.kill(self.pid, SIGKILL)
  end
  while not self.ended do children.poll({ self }, 0.01) end
  for stream, fd in pairs(self.fd) do
    C.close(fd)
    self.fd[stream] = nil
  end
end

--- Whether it has ended and all it said was read.
function methods:is_over() return self.ended ~= nil and next(self.fd) == nil end

--- Waits until `pattern` is in what a child has printed; an error when it ends before, or after `seconds`.
-- @treturn string the captures, as of string.match
function methods:await(pattern, seconds, others)
  local list, deadline = { self, unpack(others or {}) }, now() + (seconds or 20)
  while not (self.output:match(pattern) or self.errors:match(pattern)) do
    local over = self:is_over()
    if over or now() > deadline then
      error(("%s before it said '%s':\n%s%s"):format(over and "it ended" or "too long", pattern, self.output,
        self.errors), 2)
    end
    children.poll(list, 0.05)
  end
  local function first(...) if (...) ~= nil then return ... end return self.errors:match(pattern) end
  return first(self.output:match(pattern))
end

--- Waits until all have ended; those that have not after `seconds` are killed.
-- @treturn table a list of those
function children.finish(list, seconds)
  local deadline, outlived = now() + (seconds or 20), {}
  local function running()
    for _, child in ipairs(list) do
      if not child:is_over() then return true end
    end
  end
  while running() and now() < deadline do children.poll(list, 0.05) end
  for _, child in ipairs(list) do
    if not child.ended then outlived[#outlived + 1] = child end
    child:close()
  end
  return outlived
end

--- Runs `body`; all children of the list it gets are ended however it ends.
function children.with(body)
  local list = {}
  local ok, message = xpcall(body, function(text)
    return type(text) == "string" and debug.traceback(text, 2) or text
  end, list)
  for _, child in ipairs(list) do child:close() end
  if not ok then error(message, 0) end
end

return children
