/* ctrl-c.exe OUTPUT PROGRAM [ARGUMENT]: runs a program on the same console, sends it Ctrl-C once it has printed a line,
   and ends with its exit code. The file OUTPUT gets what the program prints. */
#include <stdio.h>
#include <windows.h>

int main(int count, char **arguments) {
    char command[4096] = "", buffer[4096];
    for (int i = 2; i < count; i++)
        snprintf(command + strlen(command), sizeof command - strlen(command), "\"%s\" ", arguments[i]);

    HANDLE ours, theirs;
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    if (!CreatePipe(&ours, &theirs, &inherited, 0)) return 101;
    SetHandleInformation(ours, HANDLE_FLAG_INHERIT, 0);
    STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = INVALID_HANDLE_VALUE,
                            .hStdOutput = theirs, .hStdError = theirs};
    PROCESS_INFORMATION child;
    if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child)) return 102;
    CloseHandle(theirs);

    FILE *output = fopen(arguments[1], "wb");
    if (!output) return 103;
    DWORD length, code, sent = 0;
    while (ReadFile(ours, buffer, sizeof buffer, &length, NULL) && length > 0) {
        fwrite(buffer, 1, length, output);
        if (sent || !memchr(buffer, '\n', length)) continue;
        /* To all processes of the console; this one passes over it. */
        SetConsoleCtrlHandler(NULL, TRUE);
        if (!GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)) return 104;
        sent = 1;
    }
    if (fclose(output)) return 105;
    if (WaitForSingleObject(child.hProcess, 60000) != WAIT_OBJECT_0) return 106;
    return GetExitCodeProcess(child.hProcess, &code) ? (int)code : 107;
}
